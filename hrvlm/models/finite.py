"""Numbers that are none: such a score gives no label, and a model with such a weight is not loaded."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hrvlm.geometry.labels import NO_LABEL, labels_of

__all__ = ["NO_LABEL", "check_finite", "check_probe", "labels_of"]
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


def check_probe(probe: Mapping[str, Tensor], where: object, image_size: tuple[int, int] | None = None) -> None:
    """Refuse a probe batch that no export writes, before a model is asked about it.

    Args:
        probe: Whole numbers as "tokens", and numbers in 32 bits under every other name.
        where: What it was read from, for the message.
        image_size: Height and width of "images" `(N, 3, height, width)`; None where there are none.

    Raises:
        ValueError: If a tensor is empty, of another type or shape, or holds NaN or infinity.
    """
    for name, value in probe.items():
        kind = torch.int64 if name == "tokens" else torch.float32
        fits = name != "images" or image_size is None or (value.dim() == 4 and value.shape[1:] == (3, *image_size))
        if not (fits and value.dtype == kind and value.numel() and _finite(value)):
            sized = f" of shape (N, 3, {image_size[0]}, {image_size[1]})" if name == "images" and image_size else ""
            raise ValueError(
                f"expected {name}{sized} in the probe batch at {where} to be finite numbers of {kind}, at least one, "
                f"got {value.dtype} of shape {tuple(value.shape)}; export the model anew"
            )


def _finite(value: Tensor) -> bool:
    return not (value.is_floating_point() or value.is_complex()) or bool(value.isfinite().all())
