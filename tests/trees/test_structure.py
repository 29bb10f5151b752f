"""The level rule against its definition, computed another way with networkx."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlm.trees import Node
from hrvlm.trees.structure import cut_rows, drop_void_rows, find_leaves, level_rows


@st.composite
def node_tables(draw: st.DrawFn) -> dict[str, Node]:
    """Random forests: each node's parent is an earlier node, or none."""
    count = draw(st.integers(2, 25))
    parents = [draw(st.integers(-1, index - 1)) for index in range(count)]
    nodes = [Node(f"n{i}", f"n{i}", None if parent < 0 else f"n{parent}") for i, parent in enumerate(parents)]
    return {node.id: node for node in draw(st.permutations(nodes))}


def as_graph(nodes: dict[str, Node]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((node.parent, node.id) for node in nodes.values() if node.parent is not None)
    return graph


@settings(max_examples=150, deadline=None)
@given(node_tables())
def test_each_level_has_the_highest_ancestor_of_bounded_height(nodes: dict[str, Node]) -> None:
    graph = as_graph(nodes)
    leaves = [node for node in nodes if graph.out_degree(node) == 0]
    height = {n: nx.dag_longest_path_length(graph.subgraph({n} | nx.descendants(graph, n))) for n in graph}
    rows = level_rows(nodes)
    assert list(find_leaves(nodes)) == leaves == list(rows[0])
    assert len(rows) == max(height.values()) + 1
    for level, row in enumerate(rows):
        for leaf, node in zip(leaves, row, strict=True):
            allowed = [n for n in {leaf} | nx.ancestors(graph, leaf) if height[n] <= level]
            assert node == max(allowed, key=height.__getitem__)


@settings(max_examples=150, deadline=None)
@given(node_tables())
def test_a_level_partitions_the_leaves_and_refines_the_next(nodes: dict[str, Node]) -> None:
    graph = as_graph(nodes)
    rows = level_rows(nodes)
    for row in rows:
        for first in set(row):
            assert not nx.descendants(graph, first) & set(row), "a node of a level lies below another"
    for lower, upper in pairwise(rows):
        parent = {}
        for child, above in zip(lower, upper, strict=True):
            assert parent.setdefault(child, above) == above
            assert child == above or graph.has_edge(above, child), "a step up skips or invents a node"


def test_a_short_path_repeats_its_highest_node_so_far() -> None:
    parents = {"a": "x", "x": "top", "b": "y", "y": "z", "z": "top", "c": "top", "top": None}
    rows = level_rows({node: Node(node, node, parent) for node, parent in parents.items()})
    by_leaf = dict(zip(rows[0], zip(*rows, strict=True), strict=True))
    assert by_leaf == {"a": ("a", "x", "x", "top"), "b": ("b", "y", "z", "top"), "c": ("c", "c", "c", "top")}


def test_rows_with_one_node_or_without_news_are_dropped_but_never_the_leaves() -> None:
    assert drop_void_rows([("a", "b", "c"), ("x", "x", "y"), ("x", "x", "y"), ("t", "t", "t")]) == [0, 1]
    assert drop_void_rows([("a",), ("x",)]) == [0]
    assert drop_void_rows([("a", "b"), ("a", "b"), ("a", "y")]) == [0, 2]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [(None, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4]), (5, [0, 1, 2, 3, 4]), (4, [0, 1, 3, 4]), (3, [0, 1, 4]),
     (2, [0, 4]), (1, [0])],
)  # fmt: skip
def test_a_cut_keeps_the_levels_nearest_the_leaf_and_the_top(wanted: int | None, kept: list[int]) -> None:
    assert cut_rows([0, 1, 2, 3, 4], wanted) == kept


def test_a_cut_below_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match="num_levels >= 1"):
        cut_rows([0, 1], 0)
