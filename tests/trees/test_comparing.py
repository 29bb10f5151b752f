"""Agreement of trees against pair counting."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hrvlm.trees import ClassTree, Node, TreeError, TreeInfo
from hrvlm.trees.comparing import compare_trees

labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=12)


def tree(parents: dict[str, str | None], name: str = "t") -> ClassTree:
    return ClassTree.from_nodes([Node(key, key, above) for key, above in parents.items()], TreeInfo(name, origin=name))


def agreement(pairs: list[tuple[int, int]]) -> float:
    """The agreement of two partitions, as two levels of two trees."""
    leaves = {f"leaf {place}": pair for place, pair in enumerate(pairs)}
    made = []
    for which in (0, 1):
        tops: dict[str, str | None] = {f"top {pair[which]}": None for pair in pairs}
        made.append(tree(tops | {leaf: f"top {pair[which]}" for leaf, pair in leaves.items()}, f"tree {which}"))
    ((found,),) = compare_trees(*made).agreement
    return found


@settings(max_examples=150, deadline=None)
@given(labels)
def test_agreement_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    assume(all(len({pair[which] for pair in pairs}) > 1 for which in (0, 1)))  # a tree has more than one top
    both = first = second = 0
    count = 0
    for (a, b), (c, d) in combinations(pairs, 2):
        both, first, second, count = both + (a == c and b == d), first + (a == c), second + (b == d), count + 1
    expected = first * second / count
    largest = (first + second) / 2
    assert agreement(pairs) == pytest.approx(1.0 if largest == expected else (both - expected) / (largest - expected))


def test_differences_are_found() -> None:
    first = tree({"x": None, "y": None, "a": "x", "b": "x", "c": "y", "d": "y"})
    second = tree({"x": None, "z": None, "a": "x", "b": "z", "c": "z", "e": "x"}, "u")
    found = compare_trees(first, second)
    assert found.only_nodes == (("y",), ("z",))
    assert found.only_leaves == (("d",), ("e",))
    assert found.moved == {"b": (("x",), ("z",)), "c": (("y",), ("z",))}
    assert found.agreement == ((agreement([(0, 0), (0, 1), (1, 1)]),),)
    assert not found.same
    assert compare_trees(first, first).same
    with pytest.raises(TreeError, match="got 0 that t and v share"):
        compare_trees(first, tree({"p": None, "q": None, "l": "p", "m": "q"}, "v"))
