"""A device without hardware: tensors of "meta" are on it, tensors of the CPU hold their numbers.

Operators with tensors of both are an error, waits of the host are counted with their places, and so are kernels. Fake
tensors of CUDA would do for forward passes (see `test_device_waits`), but without a driver the autograd engine asks in
vain for their streams.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("meta")
aten = torch.ops.aten
SHAPED_BY_NUMBERS = {aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten.unique_consecutive}


class MixedDevicesError(RuntimeError):
    """An operator met tensors of the device and of the CPU."""


class FakeDevice(TorchDispatchMode):
    """Counts what an accelerator would be told.

    Attributes:
        waits: Places in hrvlm or the test where the host would wait for the device, in order.
        kernels: Operators with a tensor of the device that are no views.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.kernels = 0

    def wait(self) -> None:
        """Note where one is."""
        frames = [
            frame for frame in traceback.extract_stack() if "/hrvlm/" in frame.filename or frame.name[:4] == "test"
        ]
        self.waits.append(frames[-1].name if frames else "elsewhere")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        packet = func.overloadpacket
        there = [tensor for tensor in tensors if tensor.device == DEVICE]
        target = kwargs.get("device")
        sends = packet is aten._to_copy and target is not None and (torch.device(target) == DEVICE) != bool(there)
        if sends or (packet is aten.copy_ and len(there) == 1):
            return self._copied(func, args, kwargs)
        if there and any(tensor.device != DEVICE and tensor.dim() for tensor in tensors):
            raise MixedDevicesError(f"{func} met tensors of {sorted({str(tensor.device) for tensor in tensors})}")
        if not there:
            return func(*args, **kwargs)
        if packet is aten._local_scalar_dense:
            self.wait()
            return True if args[0].dtype == torch.bool else 1.0 if args[0].is_floating_point() else 1
        masks = packet in (aten.index, aten.index_put, aten.index_put_) and _has_mask(args[1])
        if masks or packet in SHAPED_BY_NUMBERS:
            self.wait()
        self.kernels += not func.is_view
        return func(*args, **kwargs)

    def _copied(self, func: Any, args: Any, kwargs: Any) -> Any:
        """A copy between both sides: to the CPU come ones."""
        if not kwargs.get("non_blocking"):
            self.wait()
        if func.overloadpacket is aten.copy_:
            if args[0].device != DEVICE:
                args[0].fill_(1)
            return args[0]
        if args[0].device == DEVICE:
            return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        return torch.empty(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype, device=DEVICE)


class _MadeOfNumbers(TorchFunctionMode):
    """Tensors made of Python's numbers on a device are sent there, and waited for."""

    def __init__(self, device: FakeDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        place = kwargs.get("device")
        made = func in (torch.tensor, torch.as_tensor) and place is not None and torch.device(place) == DEVICE
        if made or (func is Tensor.new_tensor and args[0].device == DEVICE):
            self.device.wait()
        return func(*args, **kwargs)


def _has_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


@contextmanager
def fake_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDevice]:
    """A device for the length of a block; autocast, which "meta" does not have, is left out there."""
    real = torch.autocast
    device = FakeDevice()
    with monkeypatch.context() as patched:
        patched.setattr(
            torch, "autocast", lambda kind, *a, **k: nullcontext() if kind == "meta" else real(kind, *a, **k)
        )
        with _MadeOfNumbers(device), device:
            yield device


def moved(module: nn.Module) -> nn.Module:
    """A module with its weights on the device."""
    return module.to(DEVICE)
