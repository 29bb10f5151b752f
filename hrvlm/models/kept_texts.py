"""What a frozen text tower makes of texts is made once: every classifier of a run asks for the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class KeptTexts:
    """Outputs of a text tower by the texts that led to them, while its weights are neither trained nor replaced."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], Tensor] = {}
        self._made_with: Any = None
        self._places: Any = None
        self._unwritten = 0

    def __reduce__(self) -> Any:
        """A copy keeps nothing: its tower is another one."""
        return KeptTexts, ()

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        """No weight is written to inside behind PyTorch's back, so that they are summed up once."""
        self._unwritten, self._places = self._unwritten + 1, None
        try:
            yield
        finally:
            self._unwritten -= 1

    def of(self, texts: Sequence[str], tower: Sequence[nn.Parameter], make: Callable[[], Tensor]) -> Tensor:
        """The output for some texts; made if it is not kept.

        Args:
            texts: The texts, in order.
            tower: What the output depends on.
            make: Makes the output.
        """
        places = _places(tower)
        if places is None:
            return make()
        if not self._unwritten or places != self._places:
            state = places, _sums(tower)
            if state != self._made_with:
                self._kept, self._made_with = {}, state
            self._places = places
        key = tuple(texts)
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key].clone()


@contextmanager
def unwritten(module: nn.Module) -> Iterator[None]:
    """Inside no weight of a model changes but by operations that PyTorch counts: see `KeptTexts.unwritten`."""
    kept = {id(one): one for part in module.modules() for one in vars(part).values() if isinstance(one, KeptTexts)}
    with ExitStack() as stack:
        for one in kept.values():
            stack.enter_context(one.unwritten())
        yield


def _places(tower: Sequence[nn.Parameter]) -> Any:
    """Where weights lie, how often they were written to and how they are used; None where they are trained."""
    if any(parameter.requires_grad or parameter.is_inference() for parameter in tower):
        return None
    casts = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
    lying = tuple((part.data_ptr(), part._version, part.dtype) for part in tower)
    return lying, casts, torch.is_inference_mode_enabled()


def _sums(tower: Sequence[nn.Parameter]) -> Any:
    """Two sums of each weight: a place in memory may be used again, and writing to `.data` is not counted."""
    values = [part.detach() for part in tower]
    sums = ((one.sum(dtype=torch.float64), torch.linalg.vector_norm(one, dtype=torch.float64)) for one in values)
    return [(float(total), float(norm)) for total, norm in sums]
