"""Cutting by size against a recursion written from the rule, and the tree of ImageNet that it gives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlm.trees import ClassTree, Node, TreeError, load_tree, save_tree
from hrvlm.trees.cutting import cut_by_size
from hrvlm.trees.remarks import MOST_REPEATS, remarks, repeated_nodes

IMAGENET = Path(__file__).parents[2] / "trees" / "imagenet_wordnet.yaml"


@st.composite
def trees(draw: st.DrawFn) -> ClassTree:
    count = draw(st.integers(2, 25))
    parents = [draw(st.integers(-1, index - 1)) for index in range(count)]
    used = set(parents)
    nodes = [Node(f"n{i}", f"n{i}", None if above < 0 else f"n{above}") for i, above in enumerate(parents)]
    lone = [node.id for i, node in enumerate(nodes) if node.parent is None and i not in used]
    nodes += [Node(f"child of {key}", f"child of {key}", key) for key in lone]
    return ClassTree.from_nodes(nodes)


def brute_force(tree: ClassTree, least: Sequence[int]) -> list[frozenset[tuple[str, frozenset[str]]]]:
    """Per level the set of (superclass, its classes), from the words of the rule; every question asks all classes."""
    classes = set(tree.leaves)

    def above(node: str) -> list[str]:
        parent = tree.nodes[node].parent
        return [] if parent is None else [parent, *above(parent)]

    def size(node: str) -> int:
        return sum(node in above(leaf) for leaf in classes)

    parts = {frozenset([leaf]): leaf for leaf in classes}  # members -> where they are
    levels = []
    for number in least:
        chosen: dict[str, list[frozenset[str]]] = {}
        for members, place in parts.items():
            line = above(place) if place in classes else [place, *above(place)]
            enough = [node for node in line if size(node) >= number]
            chosen.setdefault((enough or line[-1:])[0], []).append(members)
        while True:
            lone = [node for node, held in chosen.items() if len(held) == 1 and above(node)]
            if not lone:
                break
            depth = max(len(above(node)) for node in lone)
            for node in [node for node in lone if len(above(node)) == depth]:
                chosen.setdefault(above(node)[0], []).extend(chosen.pop(node))
        groups = {node: frozenset().union(*held) for node, held in chosen.items()}
        if 1 < len(groups) < len(parts):
            levels.append(frozenset(groups.items()))
            parts = {members: node for node, members in groups.items()}
    return levels


@settings(max_examples=100, deadline=None)
@given(trees(), st.lists(st.integers(2, 12), min_size=1, max_size=4, unique=True).map(sorted))
def test_a_level_holds_the_deepest_superclasses_large_enough(full: ClassTree, least: list[int]) -> None:
    expected = brute_force(full, least)
    if not expected:
        with pytest.raises(TreeError, match="no level of at least two groups is left"):
            cut_by_size(full, least)
        return
    cut = cut_by_size(full, least)
    found = []
    for row in cut.rows[1:]:
        groups = {node: frozenset(leaf for leaf, at in zip(cut.leaves, row, strict=True) if at == node) for node in row}
        assert len({cut.nodes[node].name for node in groups}) == len(groups)
        found.append(frozenset((cut.nodes[node].name, members) for node, members in groups.items()))
    assert cut.leaves == full.leaves
    assert found == expected


@pytest.mark.parametrize("least", [[], [1, 3], [3, 3], [10, 3]])
def test_sizes_must_rise(least: list[int]) -> None:
    with pytest.raises(ValueError, match="rise from 2 or more"):
        cut_by_size(load_tree(IMAGENET), least)


def test_imagenet_has_the_groups_that_people_name_and_few_repeats() -> None:
    tree = load_tree(IMAGENET)
    assert {"mammal", "bird", "dog", "fish", "insect", "vehicle"} <= {node.name for node in tree.nodes.values()}
    for level in tree.levels[1:]:
        assert len(repeated_nodes(tree, level.index)) <= MOST_REPEATS * len(level.ids), level.name
    assert remarks(tree) == []


def test_a_thousand_classes_of_six_levels_load_in_less_than_a_second(tmp_path: Path) -> None:
    widths = (1000, 300, 90, 27, 9, 3)
    nodes = [
        Node(
            f"{level}/{i}",
            f"thing {level} {i}",
            None if level == 5 else f"{level + 1}/{i * widths[level + 1] // count}",
        )
        for level, count in reversed(list(enumerate(widths)))
        for i in range(count)
    ]
    save_tree(ClassTree.from_nodes(nodes), tmp_path / "six.yaml")
    times = []
    for _ in range(3):
        start = time.process_time()
        tree = load_tree(tmp_path / "six.yaml")
        times.append(time.process_time() - start)
    assert [len(level.ids) for level in tree.levels] == list(widths)
    assert min(times) < 1.0, times
