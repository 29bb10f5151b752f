"""From parent links to levels: pure functions on a mapping of nodes.

The level rule (ours; the paper says only that paths are cut to L levels). The height of a node is the length of the
longest path down to a leaf, so leaves have height 0. At level h every leaf is represented by its highest ancestor of
height at most h, or by itself where it has none. Hence

* no node is invented: a path too short for the tree repeats a node, the highest that it has reached;
* the levels nearest the leaf and the top of every path are kept, repetitions fall in between;
* at one level no node lies below another, so the nodes of a level partition the leaves.

A level above the leaves with a single node says nothing and is dropped. To cut a tree to fewer levels the
middle goes: the ceil(n/2) levels nearest the leaf and the floor(n/2) nearest the top stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hrvlm.trees.nodes import Node, TreeError, some

Row = tuple[str, ...]
MAX_DEPTH = 100  # nodes on a path; WordNet has 20


def check_links(nodes: Mapping[str, Node], where: str) -> None:
    """Checks that parent links form trees whose leaves are all below a superclass, or none is.

    Args:
        nodes: node of every id.
        where: file or other origin, named first in every error.

    Raises:
        TreeError: for an empty tree, an unknown parent, a cycle, or a leaf without a parent in a tree with levels.
    """
    if not nodes:
        raise TreeError(f"{where}: the tree is empty; expected at least one node under 'nodes'")
    for node in nodes.values():
        if node.parent is not None and node.parent not in nodes:
            raise TreeError(
                f"{where}: node {node.id!r} has the unknown parent {node.parent!r}; add that node or mend it"
            )
    _check_cycles(nodes, where)
    parents = {node.parent for node in nodes.values() if node.parent is not None}
    orphans = [node.id for node in nodes.values() if node.parent is None and node.id not in parents]
    if parents and orphans:
        raise TreeError(f"{where}: node {some(orphans)} has neither parent nor child; give it a parent or remove it")


def _check_cycles(nodes: Mapping[str, Node], where: str) -> None:
    """Raises TreeError with the ids along a cycle of parent links, if there is one, or if a path is too long."""
    depth: dict[str | None, int] = {None: 0}
    for start in nodes:
        trail: list[str] = []
        current: str | None = start
        while current is not None and current not in depth:
            if current in trail:
                loop = " -> ".join([*trail[trail.index(current) :], current])
                raise TreeError(f"{where}: node {current!r} is its own ancestor ({loop}); break the cycle")
            trail.append(current)
            current = nodes[current].parent
            if len(trail) + depth.get(current, 0) > MAX_DEPTH:
                raise TreeError(f"{where}: expected at most {MAX_DEPTH} nodes on a path, got more above {start!r}")
        top = depth[current]
        depth |= {node_id: top + steps for steps, node_id in enumerate(reversed(trail), start=1)}


def find_leaves(nodes: Mapping[str, Node]) -> Row:
    """Returns the ids of the nodes without children, in the order of the mapping."""
    parents = {node.parent for node in nodes.values()}
    return tuple(node_id for node_id in nodes if node_id not in parents)


def path_to_top(nodes: Mapping[str, Node], node_id: str) -> list[str]:
    """Returns the ids from a node up to its top node, both included."""
    path = [node_id]
    while (parent := nodes[path[-1]].parent) is not None:
        path.append(parent)
    return path


def level_rows(nodes: Mapping[str, Node]) -> list[Row]:
    """Applies the level rule of this module, before anything is dropped or cut.

    Args:
        nodes: node of every id, with links that `check_links` accepts.

    Returns:
        One row per height from 0 to the height of the tree; entry i of a row is the id of the node that
        represents leaf i at that level.
    """
    paths = [path_to_top(nodes, leaf) for leaf in find_leaves(nodes)]
    height: dict[str, int] = {}
    for path in paths:
        for steps, node_id in enumerate(path):
            height[node_id] = max(height.get(node_id, 0), steps)
    rows = []
    for limit in range(max(height.values()) + 1):
        rows.append(tuple([node_id for node_id in path if height[node_id] <= limit][-1] for path in paths))
    return rows


def drop_void_rows(rows: Sequence[Row]) -> list[int]:
    """Returns the positions of the rows worth keeping.

    Row 0 (the leaves) always stays. Above it a row goes when it has a single node, or when it repeats the nodes
    of the row kept before it (which restricting a tree to fewer leaves can bring about).
    """
    kept = [0]
    for index, row in enumerate(rows[1:], start=1):
        if len(set(row)) > 1 and row != rows[kept[-1]]:
            kept.append(index)
    return kept


def cut_rows(kept: Sequence[int], num_levels: int | None) -> list[int]:
    """Keeps ``num_levels`` of the rows: the ceil(n/2) nearest the leaf and the floor(n/2) nearest the top.

    Raises:
        ValueError: if ``num_levels`` is below 1.
    """
    if num_levels is None:
        return list(kept)
    if num_levels < 1:
        raise ValueError(f"expected num_levels >= 1 (the leaves count as one level), got {num_levels}")
    if num_levels >= len(kept):
        return list(kept)
    upper = num_levels // 2
    return [*kept[: num_levels - upper], *kept[len(kept) - upper :]]
