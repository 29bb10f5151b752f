"""Numbers that are none: such a score gives no label, and a model with such a weight is not loaded."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from hrvlm.geometry.labels import NO_LABEL, labels_of

__all__ = ["NO_LABEL", "check_finite", "labels_of"]
_NAMED = 3


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
