"""`ClassTree` against brute force over parent links, and the errors of a wrong tree."""

from __future__ import annotations

import random

import pytest
import torch

from hrvlm.trees import ClassTree, Node, TreeError, TreeInfo


def make(parents: dict[str, str | None], **info: object) -> ClassTree:
    return ClassTree.from_nodes([Node(n, n, p) for n, p in parents.items()], TreeInfo(origin="here.yaml", **info))


ANIMALS: dict[str, str | None] = {
    "world": None, "animal": "world", "plant": "world", "mammal": "animal", "bird": "animal", "tree": "plant",
    "oak": "tree", "fox": "mammal", "owl": "bird", "bat": "mammal", "fir": "tree", "moss": "plant",
}  # fmt: skip


def random_tree(seed: int) -> tuple[ClassTree, dict[str, str | None]]:
    """A ragged tree of a few dozen nodes under three top nodes."""
    draw = random.Random(seed)
    parents: dict[str, str | None] = {"r0": None, "r1": None, "r2": None}
    for index in range(30):
        parents[f"s{index}"] = draw.choice(list(parents))
    inner = list(parents)
    for index in range(60):
        parents[f"leaf {index}"] = inner[index] if index < len(inner) else draw.choice(inner)
    return make(parents), parents


def test_levels_and_ancestors_of_a_small_tree() -> None:
    tree = make(ANIMALS, level_names=("class", "kind", "realm"))
    assert tree.leaves == ("oak", "fox", "owl", "bat", "fir", "moss")
    assert [level.ids for level in tree.levels[1:]] == [("mammal", "bird", "tree", "moss"), ("animal", "plant")]
    assert [(level.index, level.name) for level in tree.levels] == [(0, "class"), (1, "kind"), (2, "realm")]
    assert tree.ancestors.dtype == torch.long
    assert tree.ancestors.tolist() == [[0, 1, 2, 3, 4, 5], [2, 0, 1, 0, 2, 3], [1, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("seed", range(5))
def test_ancestors_and_parents_follow_the_links(seed: int) -> None:
    tree, parents = random_tree(seed)
    assert len(tree.levels) > 3
    for leaf_index, leaf in enumerate(tree.leaves):
        path = [leaf]
        while parents[path[-1]] is not None:
            path.append(str(parents[path[-1]]))
        steps = [level.ids[int(tree.ancestors[level.index, leaf_index])] for level in tree.levels]
        assert steps[-1] == path[-1]
        assert [path.index(step) for step in steps] == sorted(path.index(step) for step in steps)
    for level in range(len(tree.levels) - 1):
        for node, above in zip(tree.levels[level].ids, tree.parents(level).tolist(), strict=True):
            assert tree.levels[level + 1].ids[above] in {node, parents[node]}


@pytest.mark.parametrize("seed", range(5))
def test_negatives_are_the_neighbouring_nodes_without_an_edge(seed: int) -> None:
    tree, parents = random_tree(seed)
    for level in tree.levels:
        for neighbour, mask in tree.negatives(level.index, "both").items():
            assert mask.dtype == torch.bool
            assert abs(neighbour - level.index) == 1
            expected = [
                [not (a == b or parents[a] == b or parents[b] == a) for b in tree.levels[neighbour].ids]
                for a in level.ids
            ]
            assert mask.tolist() == expected


def test_negatives_go_in_the_directions_asked_for() -> None:
    tree = make(ANIMALS)
    neighbours = {
        level: {way: sorted(tree.negatives(level, way)) for way in ("up", "down", "both", "none")} for level in range(3)
    }
    assert neighbours[0] == {"up": [1], "down": [], "both": [1], "none": []}
    assert neighbours[1] == {"up": [2], "down": [0], "both": [0, 2], "none": []}
    assert neighbours[2] == {"up": [], "down": [1], "both": [1], "none": []}
    with pytest.raises(ValueError, match="direction to be one of up, down, both, none, got 'sideways'"):
        tree.negatives(0, "sideways")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"level in 0\.\.2, got 3"):
        tree.negatives(3, "both")
    for level in (2, -1):
        with pytest.raises(ValueError, match="a level with one above it"):
            tree.parents(level)


def test_prompts_prefer_the_nodes_own_text() -> None:
    nodes = [Node("a", "ape", "m"), Node("m", "mammal", None, prompt="some mammal"), Node("f", "fir", "p"),
             Node("p", "plant", None)]  # fmt: skip
    tree = ClassTree.from_nodes(nodes, TreeInfo(template="a drawing of a {}."))
    assert tree.prompts(0) == ["a drawing of a ape.", "a drawing of a fir."]
    assert tree.prompts(1) == ["some mammal", "a drawing of a plant."]


@pytest.mark.parametrize("seed", range(5))
def test_restricting_keeps_the_order_given_and_every_label(seed: int) -> None:
    tree, _ = random_tree(seed)
    chosen = random.Random(seed).sample(tree.leaves, 25)
    small = tree.restrict(chosen)
    assert small.leaves == tuple(chosen)
    assert small.ancestors[0].tolist() == list(range(25))
    names = [level.name for level in tree.levels]
    for level in small.levels:
        old = tree.levels[names.index(level.name)]
        assert set(level.ids) == {level.ids[i] for i in small.ancestors[level.index].tolist()}, "a node without leaves"
        for index, leaf in enumerate(chosen):
            before = old.ids[int(tree.ancestors[old.index, tree.leaves.index(leaf)])]
            assert level.ids[int(small.ancestors[level.index, index])] == before


def test_restricting_drops_levels_that_lose_their_meaning() -> None:
    tree = make(ANIMALS)
    assert [len(level.ids) for level in tree.restrict(["bat", "owl"]).levels] == [2, 2]
    assert [len(level.ids) for level in tree.restrict(["bat", "fox"]).levels] == [2]
    assert [level.ids for level in tree.restrict(["moss", "owl"]).levels] == [
        ("moss", "owl"), ("bird", "moss"), ("animal", "plant")]  # fmt: skip
    assert "mammal" not in tree.restrict(["moss", "owl"]).nodes


def test_restricting_to_unknown_repeated_or_no_leaves_is_refused() -> None:
    tree = make(ANIMALS)
    with pytest.raises(TreeError, match=r"here.yaml: no leaf for 2 of 3 classes: 'cod', 'eel'"):
        tree.restrict(["fox", "cod", "eel"])
    with pytest.raises(TreeError, match=r"here.yaml: .*each once, got twice: 'fox'"):
        tree.restrict(["fox", "fox", "owl"])
    with pytest.raises(TreeError, match="at least one leaf"):
        tree.restrict([])


def test_cutting_drops_the_middle_levels() -> None:
    nodes = [Node(n, n, p) for n, p in ANIMALS.items()]
    tree = ClassTree.from_nodes(nodes, num_levels=2)
    assert [level.ids for level in tree.levels] == [make(ANIMALS).leaves, ("animal", "plant")]
    assert [level.name for level in tree.levels] == ["leaf", "level 2"]
    assert len(ClassTree.from_nodes(nodes, num_levels=1).levels) == 1


@pytest.mark.parametrize(
    ("parents", "message"),
    [
        ({}, "here.yaml: the tree is empty"),
        ({"a": "b", "b": "c", "c": "a"}, "here.yaml: node 'a' is its own ancestor .a -> b -> c -> a."),
        ({"top": None, "x": "top", "a": "a"}, "node 'a' is its own ancestor"),
        ({"a": "x", "x": "nowhere"}, "here.yaml: node 'x' has the unknown parent 'nowhere'"),
        ({"a": "x", "x": None, "b": None}, "here.yaml: node 'b' has neither parent nor child"),
        ({"a": "fox", "fox": "t", "Fox ": "u", "b": "Fox ", "t": None, "u": None}, "'fox' and 'Fox ' .* same text"),
        ({"fox": "t", "fOx": "u", "b": "fOx", "t": None, "u": None}, "'fox' and node 'fOx' one level up"),
    ],
)
def test_wrong_trees_are_refused(parents: dict[str, str | None], message: str) -> None:
    with pytest.raises(TreeError, match=message):
        make(parents)


def test_a_text_may_come_again_one_level_up_only_along_an_edge() -> None:
    nodes = [Node("l1", "fish", "fish"), Node("l2", "cod", "fish"), Node("l3", "owl", "bird")]
    top = [Node("fish", "fish", None), Node("bird", "bird", None)]
    assert ClassTree.from_nodes([*nodes, *top]).prompts(1) == ["a picture of a fish", "a picture of a bird"]
    with pytest.raises(TreeError, match="node 'l1' and node 'fish' one level up share no edge"):
        ClassTree.from_nodes([Node("l1", "fish", "bird"), *nodes[1:], *top])


def test_repeated_ids_templates_and_level_names_are_checked() -> None:
    with pytest.raises(TreeError, match="node 'a' is defined twice"):
        ClassTree.from_nodes([Node("a", "a", "x"), Node("x", "x", None), Node("a", "a", None)])
    with pytest.raises(TreeError, match=r"exactly one \{\} in the template, got 'a picture'"):
        make(ANIMALS, template="a picture")
    for names in (("class", "kind"), ("class", "kind", "kind"), ("class", "kind", "realm", "realm")):
        with pytest.raises(TreeError, match="expected 3 different level names"):
            make(ANIMALS, level_names=names)
    with pytest.raises(TreeError, match="level names that are not blank"):  # rows would be of no level by name
        make(ANIMALS, level_names=("class", "", "realm"))


def test_a_tree_of_leaves_alone_has_one_level() -> None:
    tree = make({"a": None, "b": None})
    assert tree.ancestors.tolist() == [[0, 1]]
    assert tree.negatives(0, "both") == {}
