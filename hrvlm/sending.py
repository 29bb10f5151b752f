"""Tensors on their way to a device, which is not waited for."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device; themselves where they are there already.

    They go by way of pinned memory: a copy to a CUDA device from any other waits for all that it was told before.
    MPS is waited for: it may read memory that was given back meanwhile.
    """
    if values.device == device:
        return values
    room = torch.empty(values.shape, dtype=values.dtype, device="cpu", pin_memory=device.type == "cuda")
    return room.copy_(values).to(device, non_blocking=device.type != "mps")
