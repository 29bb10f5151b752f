"""What a frozen text tower makes of texts is made once: every classifier of a run asks for the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class KeptTexts:
    """Outputs of a text tower by the texts that led to them, while its weights are neither trained nor replaced."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], Tensor] = {}
        self._made_with: Any = None

    def of(self, texts: Sequence[str], tower: Sequence[nn.Parameter], make: Callable[[], Tensor]) -> Tensor:
        """The output for some texts; made if it is not kept.

        Args:
            texts: The texts, in order.
            tower: What the output depends on.
            make: Makes the output.
        """
        state = _state(tower)
        if state is None:
            return make()
        if state != self._made_with:
            self._kept, self._made_with = {}, state
        key = tuple(texts)
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key].clone()


def _state(tower: Sequence[nn.Parameter]) -> Any:
    """What changes with the weights and the way they are used; None where that cannot be told, or they are trained."""
    if any(parameter.requires_grad or parameter.is_inference() for parameter in tower):
        return None
    casts = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
    return tuple(map(_told, tower)), casts, torch.is_inference_mode_enabled()


def _told(parameter: nn.Parameter) -> Any:
    """Where a parameter lies, how often it was written to, and two sums of it: a place in memory may be used again."""
    values = parameter.detach()
    sums = values.sum(dtype=torch.float64), torch.linalg.vector_norm(values, dtype=torch.float64)
    return values.data_ptr(), parameter._version, values.dtype, *(float(number) for number in sums)
