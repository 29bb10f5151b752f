"""Cutting a tree for good, path by path, where `num_levels` of a loaded tree cuts level by level.

WordNet's branches differ in depth: a terrier has thirteen superclasses, a bridge three. Cut level by level, all that
is left above the shallow branches is their top node. Here every path is cut by itself: of n levels each path
keeps its floor(n/2) nodes nearest the top, and of the others those of height below ceil(n/2). What is left is a
tree again, of at most n levels, and the level rule of `hrvlm.trees.structure` applies to it as to any other.
"""

from __future__ import annotations

from dataclasses import replace

from hrvlm.trees.structure import find_leaves, path_to_top
from hrvlm.trees.tree import ClassTree


def cut_paths(tree: ClassTree, num_levels: int) -> ClassTree:
    """Returns the tree whose paths have lost their middle, superclasses first and the leaves in their order.

    Args:
        tree: A tree as it was built or loaded, not cut yet; its level names are dropped.
        num_levels: Levels to keep, leaves included.

    Raises:
        ValueError: If ``num_levels`` is below 2, which leaves no superclass.
    """
    if num_levels < 2:
        raise ValueError(f"expected num_levels >= 2 (the leaves and one level above them), got {num_levels}")
    paths = {leaf: path_to_top(tree.nodes, leaf) for leaf in find_leaves(tree.nodes)}
    height: dict[str, int] = {}
    for path in paths.values():
        for steps, node_id in enumerate(path):
            height[node_id] = max(height.get(node_id, 0), steps)
    upper = num_levels // 2
    parent: dict[str, str | None] = {}
    for path in paths.values():
        kept = [key for steps, key in enumerate(path) if len(path) - steps <= upper or height[key] < num_levels - upper]
        parent |= dict(zip(kept, [*kept[1:], None], strict=True))
    nodes = [replace(node, parent=parent[key]) for key, node in tree.nodes.items() if key in parent]
    nodes.sort(key=lambda node: node.id in paths)
    return ClassTree.from_nodes(nodes, replace(tree.info, level_names=None))
