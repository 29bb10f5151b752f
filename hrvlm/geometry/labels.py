"""From scores to labels, where scores that are no numbers give none."""

from __future__ import annotations

import torch
from torch import Tensor

NO_LABEL = -1
"""What stands for the label of an image whose scores are not all finite; no class has it, so it is never right."""


def labels_of(scores: Tensor) -> Tensor:
    """The class of the highest score, the first of several; -1 where any score is NaN or infinite.

    NaN and infinity pass for the largest number, and a row of them for class 0: a prediction that nothing supports.

    Args:
        scores: `(..., K)`, K >= 1.

    Returns:
        int64 `(...)`.
    """
    return torch.where(scores.isfinite().all(dim=-1), scores.argmax(dim=-1), NO_LABEL)
