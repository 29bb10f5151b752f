"""What is said of a valid tree that could be better, at its thresholds."""

from __future__ import annotations

from hrvlm.trees import ClassTree, Node, TreeInfo
from hrvlm.trees.remarks import MOST_CHILDREN, remarks, repeated_nodes


def tree(parents: dict[str, str | None]) -> ClassTree:
    return ClassTree.from_nodes([Node(key, key, above) for key, above in parents.items()], TreeInfo("t"))


def wide(children: int) -> ClassTree:
    return tree({"a": None, "b": None, **{f"a{i}": "a" for i in range(children)}, "b1": "b", "b2": "b"})


def test_a_flat_tree_and_a_good_one_get_no_remark() -> None:
    assert remarks(tree({"x": None, "y": None})) == []
    assert remarks(wide(MOST_CHILDREN)) == []


def test_fan_outs_are_told_above_their_threshold() -> None:
    assert remarks(wide(MOST_CHILDREN + 1)) == [f"t: 1 nodes have more than 50 children: 'a ({MOST_CHILDREN + 1})'"]


def test_repeats_are_counted_by_what_a_node_holds() -> None:
    tops = {f"t{i}": None for i in range(10)}
    leaves = {f"{top}{side}": top for top in tops for side in "ab"}
    one = tree({**tops, **{key: above for key, above in leaves.items() if key != "t0b"}})
    assert repeated_nodes(one, 1) == ["t0"]
    assert remarks(one) == ["t: 1 top nodes hold a single class: 't0'"], "a tenth is not more than a tenth"
    two = tree({**tops, **{key: above for key, above in leaves.items() if key not in ("t0b", "t1b")}})
    assert "t: 2 of 10 nodes of 'level 1' only repeat a node of the level below: 't0', 't1'" in remarks(two)
    short = tree({"x": None, "y": None, "z": "x", "v": "x", "a": "z", "b": "z", "c": "v", "d": "v", "e": "y", "f": "y"})
    assert repeated_nodes(short, 1) == []
    assert repeated_nodes(short, 2) == ["y"], "a short path repeats its node"


def test_tops_of_one_class_and_unions_are_told() -> None:
    found = remarks(tree({"water, sky or war": None, "sand": None, "a": "water, sky or war", "b": "sand", "c": "sand",
                          "orchid": "sand"}))  # fmt: skip
    assert "t: 1 top nodes hold a single class: 'water, sky or war'" in found
    assert "t: the names of 1 superclasses are unions: 'water, sky or war'" in found
