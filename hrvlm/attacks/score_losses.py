"""What a perturbation may raise besides the cross-entropy: margins of scores, row by row.

Shapes: R rows, K candidates. A score of −inf says that a column is no candidate of the row; the label's own is finite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

AscendedLoss = Literal["cross_entropy", "margin", "dlr"]
ScoreLoss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy `(R,)` of scores `(R, K)` whose softmax runs over the candidates."""
    return F.cross_entropy(scores, labels, reduction="none")


def margin(scores: Tensor, labels: Tensor) -> Tensor:
    """By how much (N,) the best wrong class beats the right one, the loss of Carlini and Wagner (arXiv 1608.04644)."""
    right = scores.gather(1, labels[:, None])[:, 0]
    return scores.scatter(1, labels[:, None], -torch.inf).amax(dim=1) - right


def difference_of_logits_ratio(scores: Tensor, labels: Tensor) -> Tensor:
    """The margin `(R,)` over the gap of the best and the third score, which no scale or shift of the scores changes.

    Rows of fewer than three candidates have no such gap: there it is the margin itself. Source: DLR of Croce and Hein,
    ICML 2020 (arXiv 2003.01690).
    """
    difference = margin(scores, labels)
    if scores.shape[1] < 3:
        return difference
    best = scores.topk(3, dim=1).values
    three = best[:, 2] > -torch.inf
    gap = torch.where(three, best[:, 0] - best[:, 2], 1.0)  # chosen before dividing: −inf has no gradient to pass on
    return difference / gap.clamp_min(torch.finfo(scores.dtype).eps)


LOSSES: dict[AscendedLoss, ScoreLoss] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": difference_of_logits_ratio,
}
