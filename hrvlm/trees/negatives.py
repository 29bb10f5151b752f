"""Index tensors between neighbouring levels: parents and hierarchy-aware negatives, from the ancestor table alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # see `hrvlm.trees.tree`
    from torch import Tensor

Direction = Literal["up", "down", "both", "none"]
DIRECTIONS = ("up", "down", "both", "none")


def parent_index(ancestors: Tensor, level: int) -> Tensor:
    """Returns, for each node of a level, the index of its parent in the next level.

    Args:
        ancestors: LongTensor ``(L+1, num_leaves)``, the node above each leaf at each level.
        level: a level that has one above it, 0..L-1.

    Returns:
        LongTensor ``(num_nodes,)``. A node that stands at both levels is its own parent there.

    Raises:
        ValueError: if there is no such level, or none above it.
    """
    import torch

    if not 0 <= level < len(ancestors) - 1:
        raise ValueError(
            f"expected a level with one above it (of 0..{len(ancestors) - 1}, all but the last), got {level}"
        )
    parents = torch.empty(int(ancestors[level].max()) + 1, dtype=torch.long)
    parents[ancestors[level]] = ancestors[level + 1]
    return parents


def negative_masks(ancestors: Tensor, level: int, direction: Direction) -> dict[int, Tensor]:
    """Returns which nodes of the neighbouring levels share no edge with each node of a level.

    Hierarchy-aware negative set augmentation (HNSA), arXiv 2604.18867: these nodes join the softmax of the level.

    Args:
        ancestors: LongTensor ``(L+1, num_leaves)``.
        level: the level whose nodes are the labels, 0..L.
        direction: "up" for level+1, "down" for level-1, "both", or "none". A neighbour that does not exist
            (below the leaves, above the top) is left out.

    Returns:
        Neighbouring level -> BoolTensor ``(num_nodes of level, num_nodes of neighbour)``, True = a negative.

    Raises:
        ValueError: for an unknown direction or level.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"expected direction to be one of {', '.join(DIRECTIONS)}, got {direction!r}")
    if not 0 <= level < len(ancestors):
        raise ValueError(f"expected a level in 0..{len(ancestors) - 1}, got {level}")
    masks: dict[int, Tensor] = {}
    if direction in ("down", "both") and level > 0:
        masks[level - 1] = ~_edges(ancestors, level - 1).T
    if direction in ("up", "both") and level < len(ancestors) - 1:
        masks[level + 1] = ~_edges(ancestors, level)
    return masks


def _edges(ancestors: Tensor, level: int) -> Tensor:
    """Returns the BoolTensor ``(num_nodes of level, num_nodes of level+1)`` of parent links."""
    import torch

    parents = parent_index(ancestors, level)
    edges = torch.zeros(len(parents), int(ancestors[level + 1].max()) + 1, dtype=torch.bool)
    edges[torch.arange(len(parents)), parents] = True
    return edges
