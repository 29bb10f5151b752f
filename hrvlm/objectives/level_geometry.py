"""How deep the points of a level lie, and how far its classes are scored apart.

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867): in the ball
the norm of a point is its depth, and the largest margin that classes can have grows with it.

The largest margin at a norm η (`Head.max_margin`) bounds the margins of two kinds of pairs: of any point against two
texts of norm η, and of a point of norm η against two texts whose norms are equal. With texts of unequal norms a point's
own bound may be passed, so both are reported: that of the image points and that of the text points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.models.heads import Head
from hrvlm.objectives.groups import TreeTable, group_batch, group_points
from hrvlm.trees import ClassTree


@dataclass(frozen=True, eq=False)
class LevelGeometry:
    """One level of one tree, seen from N images.

    Attributes:
        nodes: `(M,)`, index within the level of the node that each point of the level belongs to.
        norms: `(M,)`, norms of the level's points: the images themselves at level 0 (M = N), else their averages.
        limits: `(M,)`, largest margin at those norms.
        margins: `(M,)`, score of the point's own node less the best score of another node of the level.
        image_norms: `(N,)`, norms of the single images.
        image_limits: `(N,)`, largest margin at those norms.
        image_margins: `(N,)`, margins of the single images among the nodes of this level.
        text_norms: `(K,)`, norms of the text points of all nodes of the level.
        text_limits: `(K,)`, largest margin at those norms.
    """

    nodes: Tensor
    norms: Tensor
    limits: Tensor
    margins: Tensor
    image_norms: Tensor
    image_limits: Tensor
    image_margins: Tensor
    text_norms: Tensor
    text_limits: Tensor


def attained_margins(scores: Tensor, targets: Tensor) -> Tensor:
    """Score of the target less the best of the others, `(M, K)` and `(M,)` to `(M,)`; negative if misclassified.

    Raises:
        ValueError: If there is no other class.
    """
    if scores.shape[1] < 2:
        raise ValueError(f"expected scores of at least two classes, got {scores.shape[1]}: one class has no margin")
    own = torch.arange(scores.shape[1], device=scores.device) == targets[:, None]
    return scores.gather(1, targets[:, None]).squeeze(1) - scores.masked_fill(own, float("-inf")).amax(dim=1)


@torch.no_grad()
def level_geometry(
    head: Head, tree: ClassTree, level: int, image_points: Tensor, text_points: Tensor, labels: Tensor
) -> LevelGeometry:
    """Norms and margins of a level.

    Above the leaves the points of a level are the averages that training takes: images to classes, classes to nodes of
    level 1, and so on, over the images given (HypAvg).

    Args:
        head: Scores, averages and norms.
        tree: The tree.
        level: 0 for the leaves.
        image_points: `(N, D)`.
        text_points: `(K, D)`, of the nodes of the level.
        labels: Leaf labels `(N,)`.

    Raises:
        ValueError: If the number of text points is not that of the level's nodes.
    """
    if len(text_points) != len(tree.levels[level].ids):
        expected = f"expected text points of the {len(tree.levels[level].ids)} nodes of level {level}"
        raise ValueError(f"{expected} of {tree.name}, got {len(text_points)}")
    nodes_in_all = sum(len(part.ids) for part in tree.levels)
    table = TreeTable(tree, "none", torch.arange(nodes_in_all)).to(labels.device)
    groups = group_batch(table, labels)
    chosen = groups.row_level == level
    points, nodes = group_points(head, image_points, groups)[chosen], groups.targets[chosen] - table.offsets[level]
    norms, image_norms, text_norms = (head.norm(part) for part in (points, image_points, text_points))
    return LevelGeometry(
        nodes=nodes,
        norms=norms,
        limits=head.max_margin(norms),
        margins=attained_margins(head.logits(points, text_points), nodes),
        image_norms=image_norms,
        image_limits=head.max_margin(image_norms),
        image_margins=attained_margins(head.logits(image_points, text_points), table.ancestors[level, labels]),
        text_norms=text_norms,
        text_limits=head.max_margin(text_norms),
    )
