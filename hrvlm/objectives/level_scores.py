"""What a smoothed classifier answers at a level, copy by copy, for terms that look at nothing else.

Shapes: B images, m copies of each, K nodes of a level, L+1 levels, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.models.heads import Head
from hrvlm.objectives.groups import TreeTable


@dataclass(frozen=True, eq=False)
class LevelScores:
    """Answers at one level of one tree.

    Attributes:
        log_probabilities: `(B, m, K)`.
        targets: The true nodes `(B,)`.
        weight: Of the level, no dimensions.
    """

    log_probabilities: Tensor
    targets: Tensor
    weight: Tensor


def leaf_scores(head: Head, points: Tensor, texts: Tensor, labels: Tensor) -> LevelScores:
    """Answers among the leaves, of points `(B, m, D)` against their texts `(K, D)`."""
    logits = head.logits(points.flatten(0, 1), texts).unflatten(0, points.shape[:2])
    return LevelScores(logits.log_softmax(-1), labels, logits.new_ones(()))


def tree_scores(
    head: Head,
    table: TreeTable,
    points: Tensor,
    texts: Tensor,
    labels: Tensor,
    weights: Tensor,
    leaf_sum_share: float = 0.0,
) -> Iterator[LevelScores]:
    """Answers at every level of a tree, each among the nodes of its level alone.

    Args:
        head: Scores.
        table: Index tensors of the tree, with T nodes.
        points: `(B, m, D)`.
        texts: `(T, D)`.
        labels: Leaf classes `(B,)`.
        weights: Of the levels, `(L+1,)`.
        leaf_sum_share: Share in [0, 1] of a superclass's probability that is the sum of its leaves', the rest being
            that of its own text.
    """
    logits = head.logits(points.flatten(0, 1), texts).unflatten(0, points.shape[:2]).split(table.sizes, dim=-1)
    leaves = logits[0].softmax(-1)
    for level, scores in enumerate(logits):
        found = scores.log_softmax(-1)
        if level and leaf_sum_share > 0.0:
            summed = torch.zeros_like(scores).index_add(-1, table.ancestors[level], leaves)
            mixed = found.exp().lerp(summed, leaf_sum_share)
            found = mixed.clamp_min(torch.finfo(mixed.dtype).tiny).log()
        yield LevelScores(found, table.ancestors[level, labels], weights[level])
