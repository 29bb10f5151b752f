"""Noise by address made where it is needed: on a CUDA device, by Triton, with the bits that the processor gives it.

Nothing crosses the bus but the picture, and nobody waits: what little is sent goes from pinned memory, and launches
return at once. Whether a device can is found out once, by making a few numbers on both sides.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.noise.kernels import add_clipped, fill_from_guide, fill_normals
from hrvlm.certificates.noise.philox import address

_log = logging.getLogger(__name__)
_Address: TypeAlias = tuple[NDArray[np.uint64], np.uint32, NDArray[np.uint32]]
_TRIAL = 1500  # numbers of a row: more than one chunk, the last of them in part


def makes_noise(device: torch.device) -> bool:
    """Whether noise is made on the device itself; elsewhere the processor makes it.

    Said once in the log where a CUDA device cannot: without Triton, with one too old, or where a bit differs.
    """
    return device.type == "cuda" and _agrees(device)


@lru_cache
def _agrees(device: torch.device) -> bool:
    if not torch.cuda.is_available():
        return True  # tensors of CUDA are fake where there is no device
    try:
        same = all(torch.equal(made.cpu(), expected) for made, expected in (_normals(device), _whole(device)))
        problem = "its noise differs from the processor's"
    except Exception as error:  # of whatever kind: compilers fail in many ways
        same, problem = False, " ".join(f"{type(error).__name__}: {error}".split())[:200]
    if not same:
        _log.warning("noise is made by the processor and sent to %s, which is slow: %s", device, problem)
    return same


def _normals(device: torch.device) -> tuple[Tensor, Tensor]:
    """A few noisy numbers from the device, and from the processor."""
    where = address(2**63 + 1, 2**31 + 3, [5, 2**64 - 1])
    mean, expected = np.linspace(0, 1, _TRIAL, dtype=np.float32), np.empty((2, _TRIAL), dtype=np.float32)
    fill_normals(expected, mean, np.float32(0.25), np.uint32(0), *where)
    made = torch.empty(expected.shape, dtype=torch.float32, device=device)
    write_normals(made, torch.from_numpy(mean), 0.25, 0, where)
    return made, torch.from_numpy(expected)


def _whole(device: torch.device) -> tuple[Tensor, Tensor]:
    """A few pixels with whole noise, none of them open, from the device, and from the processor."""
    where = address(2**63 + 1, 2**31 + 3, [5, 2**64 - 1])
    guide, pixels = (np.arange(2**16) % 511 - 255).astype(np.int16), (np.arange(_TRIAL) % 256).astype(np.int16)
    noise, expected = np.empty((2, _TRIAL), dtype=np.int16), np.empty((2, _TRIAL), dtype=np.float32)
    fill_from_guide(noise, guide, np.uint32(1), *where)
    add_clipped(expected, noise, pixels)
    made = torch.empty(expected.shape, dtype=torch.float32, device=device)
    thresholds = torch.full((3, 510), -1, dtype=torch.int64, device=device)
    write_whole(made, torch.from_numpy(pixels), torch.from_numpy(guide).to(device), thresholds, (1, 2), where)
    return made, torch.from_numpy(expected)


def write_normals(out: Tensor, mean: Tensor, sigma: float, stream: int, where: _Address) -> None:
    """Write mean plus normal numbers times sigma.

    Args:
        out: `(B, size)` float32 on a device that makes noise, contiguous.
        mean: `(size,)` float32.
        sigma: standard deviation.
        stream: of the numbers.
        where: see `philox.address`, of B draws.
    """
    if out.numel():
        draws, numbers = _sent_address(stream, where, out.device)
        _gaussian_copies(out, _sent(mean, out.device), draws, float(np.float32(sigma)), numbers)


def write_whole(
    out: Tensor, pixels: Tensor, guide: Tensor, thresholds: Tensor, streams: tuple[int, int], where: _Address
) -> None:
    """Write pixels plus whole noise, clipped, in units of the full range.

    Args:
        out: see `write_normals`.
        pixels: `(size,)` int16 in 0..255.
        guide: `(65536,)` int16 on the device: noise per leading bits, or a mark.
        thresholds: `(3, 510)` int64 on the device: the words of the exact ones.
        streams: of leading bits, and of those that settle marked pixels.
        where: see `write_normals`.
    """
    if out.numel():
        draws, numbers = _sent_address(streams[0], where, out.device)
        _grid_copies(out, _sent(pixels, out.device), guide, thresholds, draws, streams[1], numbers)


def _sent_address(stream: int, where: _Address, device: torch.device) -> tuple[Tensor, list[int]]:
    """The draws on the device, and the other numbers as signed ones of 32 bits."""
    draws, index, key = where
    numbers = np.array([stream, index, *key], dtype=np.uint32).view(np.int32)
    return _sent(torch.from_numpy(draws.view(np.int64)), device), numbers.tolist()


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """The values on the device, by way of pinned memory: a copy from any other would wait for all work before it."""
    if values.device == device:
        return values.contiguous()
    room = torch.empty(values.shape, dtype=values.dtype, device="cpu", pin_memory=device.type == "cuda")
    return room.copy_(values).to(device, non_blocking=True)


@torch.library.custom_op("hrvlm::gaussian_copies", mutates_args=("out",))
def _gaussian_copies(out: Tensor, mean: Tensor, draws: Tensor, sigma: float, numbers: list[int]) -> None:
    """See `device_kernels.launch_gaussian`; an operator, so that compilers and fake tensors take it as it is."""
    from hrvlm.certificates.noise.device_kernels import launch_gaussian

    with torch.cuda.device_of(out):
        launch_gaussian(out, mean, draws, sigma, numbers)


@torch.library.custom_op("hrvlm::grid_copies", mutates_args=("out",))
def _grid_copies(
    out: Tensor, pixels: Tensor, guide: Tensor, thresholds: Tensor, draws: Tensor, later: int, numbers: list[int]
) -> None:
    """See `device_kernels.launch_grid`."""
    from hrvlm.certificates.noise.device_kernels import launch_grid

    with torch.cuda.device_of(out):
        launch_grid(out, pixels, guide, thresholds, draws, later, numbers)
