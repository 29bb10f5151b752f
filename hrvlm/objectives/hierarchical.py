"""The terms of the hierarchical loss as pure functions on tensors.

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867): alignment
at every level (HITA) with hierarchy-aware negatives (HNSA), vicinity, and norm order. Where the paper is silent:
cross-entropies and hinges are means over the rows of a level (images at the leaf level, groups present in the batch
above it); the vicinity is a mean over images and concerns the leaf level only; the text norm order is a mean over all
nodes of a level, in the batch or not.

Under noise a row may have m copies: losses then see the scores of the smoothed classifier (see `smoothed_scores`), and
hinges are averaged over the copies. Where points `(…, m, D)` are taken, those of a single copy may come as `(…, D)`.

Shapes: R rows of a batch (images, then groups), T nodes of a tree, L+1 levels, D features; see `groups`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hrvlm.attacks.score_losses import ScoreLoss, cross_entropy
from hrvlm.models.finite import labels_of
from hrvlm.models.heads import Head
from hrvlm.objectives.groups import BatchGroups, TreeTable, group_points
from hrvlm.objectives.smoothed_scores import smoothed_scores, summed_scores


class TreeTerms(NamedTuple):
    """Terms of one tree, not yet weighted.

    Attributes:
        hita: Cross-entropy per level `(L+1,)`.
        vicinity: Mean hinge of image to class text, no dimensions.
        order_image: Mean norm-order hinge between level l and l+1 of image points, `(L,)`.
        order_text: The same for text points, `(L,)`.
        accuracy: Share of images whose nearest leaf text is their class, without gradient.
    """

    hita: Tensor
    vicinity: Tensor
    order_image: Tensor
    order_text: Tensor
    accuracy: Tensor


def level_weights(num_levels: int, device: torch.device | None = None) -> Tensor:
    """ω_l = 1 − l/(L+1) for l = 0..L: `(L+1,)`, from 1 at the leaf down to 1/(L+1) at the top."""
    return 1.0 - torch.arange(num_levels, device=device) / num_levels


def masked_loss(logits: Tensor, targets: Tensor, candidates: Tensor, loss: ScoreLoss = cross_entropy) -> Tensor:
    """A loss `(R,)` of logits `(R, m, T)` that sees the candidates `(R, T)` of each row only.

    The target must be a candidate.
    """
    return loss(smoothed_scores(logits, candidates), targets)


def norm_order(child_norms: Tensor, parent_norms: Tensor, zeta_gap: float) -> Tensor:
    """max(0, ‖parent‖ − ‖child‖ + ζ_gap), row by row: a parent lies nearer to the origin than its child."""
    return (parent_norms - child_norms + zeta_gap).clamp_min(0.0)


def vicinity(distances: Tensor, zeta_vicinity: float) -> Tensor:
    """max(0, d − ζ_vic), row by row: an image need only come within ζ_vic of its class text."""
    return (distances - zeta_vicinity).clamp_min(0.0)


def level_means(values: Tensor, levels: Tensor, num_levels: int) -> Tensor:
    """Mean of `values` `(R,)` per level `(num_levels,)`; a level without rows gets 0."""
    zeros = values.new_zeros(num_levels)
    count = zeros.index_add(0, levels, torch.ones_like(values))
    return zeros.index_add(0, levels, values) / count.clamp_min(1.0)


def hita_terms(
    rows: Tensor,
    text_points: Tensor,
    head: Head,
    groups: BatchGroups,
    table: TreeTable,
    *,
    image_share: float = 0.0,
    leaf_sum_share: float = 0.0,
    loss: ScoreLoss = cross_entropy,
) -> Tensor:
    """Alignment loss per level `(L+1,)` from one matrix of scores between all rows and all nodes of a tree.

    Args:
        rows: `(R, m, D)`, see `group_points`; of those that `aligned_rows` leaves out none need be there.
        text_points: `(T, D)`.
        head: Scores.
        groups: Groups of the batch.
        table: Index tensors of the tree.
        image_share: Share in [0, 1] of the alignment above the leaves that concerns the images themselves, each with
            its ancestor's text, instead of the groups' averages.
        leaf_sum_share: Share in [0, 1] of the alignment above the leaves in which a node's probability is the sum of
            its leaves', among the nodes of its level, instead of that of its own text among its candidates.
        loss: Of rows of scores; the method's is the cross-entropy.
    """
    asked = rows[: aligned_rows(groups, table, image_share)]
    return _hita(_scores(head, asked, text_points), groups, table, (image_share, leaf_sum_share), loss)


def aligned_rows(groups: BatchGroups, table: TreeTable, image_share: float) -> int:
    """How many rows, images first, the alignment asks for: with a share of 1, or one level, no group's average."""
    return groups.num_images if image_share == 1.0 or table.num_levels == 1 else len(groups.targets)


def leaf_term(
    points: Tensor,
    text_points: Tensor,
    head: Head,
    groups: BatchGroups,
    table: TreeTable,
    loss: ScoreLoss = cross_entropy,
) -> Tensor:
    """Mean loss of the leaf level alone, of images `(B, m, D)`: neither groups nor nodes above the next level count."""
    columns, leaves = sum(table.sizes[:2]), groups.targets[: len(points)]
    candidates = table.candidates[leaves, :columns]
    return masked_loss(_scores(head, points, text_points[:columns]), leaves, candidates, loss).mean()


def _scores(head: Head, rows: Tensor, text_points: Tensor) -> Tensor:
    """Logits `(R, m, T)` of rows `(R, m, D)`, or `(R, 1, T)` of rows `(R, D)`."""
    if rows.ndim == 2:
        return head.logits(rows, text_points)[:, None]
    return head.logits(rows.flatten(0, 1), text_points).unflatten(0, rows.shape[:2])


def _losses(logits: Tensor, targets: Tensor, table: TreeTable, leaf_sum_share: float, loss: ScoreLoss) -> Tensor:
    """Losses `(N,)` of rows `(N, m, T)` with nodes of the tree."""
    own = masked_loss(logits, targets, table.candidates[targets], loss)
    if leaf_sum_share == 0.0:
        return own
    summed, level = summed_scores(logits[..., : table.sizes[0]], table.leaves_under()), table.node_level[targets]
    of_leaves = loss(torch.where(table.node_level == level[:, None], summed, float("-inf")), targets)
    return torch.where(level > 0, own.lerp(of_leaves, leaf_sum_share), own)


def _hita(
    logits: Tensor, groups: BatchGroups, table: TreeTable, shares: tuple[float, float], loss: ScoreLoss
) -> Tensor:
    image_share, leaf_sum_share = shares
    losses = _losses(logits, groups.targets[: len(logits)], table, leaf_sum_share, loss)
    averages = level_means(losses, groups.row_level[: len(logits)], table.num_levels)
    if image_share == 0.0 or table.num_levels == 1:
        return averages
    of_images = _of_images(logits[: groups.num_images], groups, table, leaf_sum_share, loss)
    return torch.cat([averages[:1], averages[1:].lerp(of_images, image_share)])


def _of_images(logits: Tensor, groups: BatchGroups, table: TreeTable, leaf_sum_share: float, loss: ScoreLoss) -> Tensor:
    """Mean loss per level above the leaves `(L,)` of images `(B, m, T)` with their ancestors."""
    leaves = groups.targets[: len(logits)]
    losses = []
    for level in range(1, table.num_levels):
        targets = table.offsets[level] + table.ancestors[level, leaves]
        losses.append(_losses(logits, targets, table, leaf_sum_share, loss).mean())
    return torch.stack(losses)


def tree_terms(
    image_points: Tensor,
    text_points: Tensor,
    head: Head,
    groups: BatchGroups,
    table: TreeTable,
    *,
    zeta_vicinity: float,
    zeta_gap: float,
    pool: Tensor | None = None,
    image_share: float = 0.0,
    leaf_sum_share: float = 0.0,
) -> TreeTerms:
    """All terms of one tree.

    Args:
        image_points: Points of the (adversarial) images `(B, m, D)`.
        text_points: Points of the tree's nodes `(T, D)`, in the order of the table.
        head: Scores, distances, averages and norms.
        groups: Groups of the batch.
        table: Index tensors of the tree.
        zeta_vicinity: Distance within which an image counts as aligned.
        zeta_gap: Gap of norms wanted between a node and its parent.
        pool: Points of the images that groups are averages of, see `group_points`.
        image_share: See `hita_terms`.
        leaf_sum_share: See `hita_terms`.

    Returns:
        The terms, see `TreeTerms`.
    """
    count = len(image_points)
    rows = group_points(head, image_points, groups, pool)
    logits = _scores(head, rows[: aligned_rows(groups, table, image_share)], text_points)
    leaf = groups.targets[:count]
    every_copy = image_points.flatten(0, -2), leaf.repeat_interleave(logits.shape[1])
    return TreeTerms(
        hita=_hita(logits, groups, table, (image_share, leaf_sum_share), table.row_loss()),
        vicinity=vicinity(head.distance(every_copy[0], text_points[every_copy[1]]), zeta_vicinity).mean(),
        order_image=order_terms(head.norm(rows), groups.parents, groups.row_level, groups.sizes, zeta_gap),
        order_text=order_terms(head.norm(text_points), table.node_parent, table.node_level, table.sizes, zeta_gap),
        accuracy=(labels_of(smoothed_scores(logits[:count, :, : table.sizes[0]])) == leaf).float().mean(),
    )


def order_terms(norms: Tensor, parents: Tensor, levels: Tensor, sizes: Sequence[int], zeta_gap: float) -> Tensor:
    """Mean norm-order hinge per pair of levels (l, l+1).

    Args:
        norms: `(R,)`, or `(R, m)` of m copies whose hinges are averaged; all levels.
        parents: `(R,)`, index of the parent; −1 at the top level, whose rows come last.
        levels: `(R,)`, level of each row.
        sizes: Rows of each level, L+1 numbers.
        zeta_gap: Gap wanted.

    Returns:
        `(L,)`.
    """
    children = sum(sizes[:-1])  # counted, not looked up: a device would be waited for
    hinges = norm_order(norms[:children], norms[parents[:children]], zeta_gap)
    hinges = hinges if hinges.ndim == 1 else hinges.mean(dim=1)
    return level_means(hinges, levels[:children], len(sizes) - 1)
