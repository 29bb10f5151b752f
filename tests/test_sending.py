"""Which copies to a device are waited for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hrvlm.certificates import Sample
from hrvlm.certificates.sampling.batches import Drawing, noisy_batch
from hrvlm.sending import sent


class Copies(TorchFunctionMode):
    """Notes whether copies to a device that this machine lacks may still run afterwards, and makes none."""

    def __init__(self) -> None:
        super().__init__()
        self.unawaited: list[bool] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.to and args[1:] == (torch.device("mps"),):
            self.unawaited.append(kwargs.get("non_blocking", False))
            return args[0]
        return func(*args, **kwargs)


def test_memory_that_mps_reads_is_not_given_back_before() -> None:
    """Unlike CUDA's, which pinned memory waits for."""
    place, sample = torch.device("mps"), Sample(0, torch.full((3, 2, 2), 0.5), {})
    with Copies() as copies:
        sent(torch.ones(3), place)
        noisy_batch([(sample, range(2))], Drawing(0.25, 1), place)
    assert copies.unawaited == [False, False]


@pytest.mark.parametrize("name", ["cpu", "meta"])
def test_values_keep_type_and_shape(name: str) -> None:
    values = torch.arange(6, dtype=torch.int16).view(2, 3)
    found = sent(values, torch.device(name))
    assert (found.device.type, found.dtype, found.shape) == (name, values.dtype, values.shape)
    assert (found is values) == (name == "cpu")
