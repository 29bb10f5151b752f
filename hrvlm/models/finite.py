"""Numbers that are none: such a score gives no label, and a model with such a weight is not loaded."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

NO_LABEL = -1
"""What stands for the label of an image whose scores are not all finite; no class has it, so it is never right."""
_NAMED = 3


def labels_of(scores: Tensor) -> Tensor:
    """The class of the highest score, the first of several; -1 where any score is NaN or infinite.

    NaN and infinity pass for the largest number, and a row of them for class 0: a prediction that nothing supports.

    Args:
        scores: `(..., K)`, K >= 1.

    Returns:
        int64 `(...)`.
    """
    return torch.where(scores.isfinite().all(dim=-1), scores.argmax(dim=-1), NO_LABEL)


def check_finite(state: Mapping[str, Tensor], where: object) -> None:
    """Refuse weights that hold NaN or infinity.

    Args:
        state: What `state_dict()` of a module gives, or a file of weights.
        where: What it was read from, for the message.

    Raises:
        ValueError: With the names of such tensors.
    """
    wrong = [name for name, value in state.items() if isinstance(value, Tensor) and not _finite(value)]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ValueError(
            f"expected finite weights in {where}, got NaN or infinity in {', '.join(wrong[:_NAMED])}{more}: the file "
            "is damaged, its training diverged, or a number is too large for its type; use an earlier checkpoint"
        )


def _finite(value: Tensor) -> bool:
    return not (value.is_floating_point() or value.is_complex()) or bool(value.isfinite().all())
