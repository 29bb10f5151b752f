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

from hrvlm.certificates.noise.philox import address
from hrvlm.sending import sent

_log = logging.getLogger(__name__)
_Address: TypeAlias = tuple[NDArray[np.uint64], np.uint32, NDArray[np.uint32]]
_TRIAL = 1500  # numbers of a row: more than one chunk, the last of them in part


def makes_noise(device: torch.device) -> bool:
    """Whether noise is made on the device itself; elsewhere the processor makes it.

    Said once in the log where a CUDA device cannot: without Triton, with one too old, or where a bit differs.
    """
    return device.type == "meta" or (device.type == "cuda" and _agrees(device))  # "meta" tensors hold no numbers


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
    from hrvlm.certificates.noise.kernels import fill_normals  # with numba, when it is called for

    where = address(2**63 + 1, 2**31 + 3, [5, 2**64 - 1])
    mean, expected = np.linspace(0, 1, _TRIAL, dtype=np.float32), np.empty((2, _TRIAL), dtype=np.float32)
    fill_normals(expected, mean, np.float32(0.25), np.uint32(0), *where)
    made = torch.empty(expected.shape, dtype=torch.float32, device=device)
    write_normals(made, torch.from_numpy(mean), 0.25, 0, where)
    return made, torch.from_numpy(expected)


def _whole(device: torch.device) -> tuple[Tensor, Tensor]:
    """A few pixels with whole noise, none of them open, from the device, and from the processor."""
    from hrvlm.certificates.noise.kernels import add_clipped, fill_from_guide  # with numba, when it is called for

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
        address_there = _sent_address((stream, 0), where, out.device)
        _gaussian_copies(out, sent(mean, out.device), address_there, float(np.float32(sigma)))


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
        address_there = _sent_address(streams, where, out.device)
        _grid_copies(out, sent(pixels, out.device), guide, thresholds, address_there)


def _sent_address(streams: tuple[int, int], where: _Address, device: torch.device) -> Tensor:
    """The address `(5 + B,)` on the device, see `device_kernels.launch_gaussian`."""
    draws, index, key = where
    numbers = np.array([*streams, index, *key], dtype=np.int64)
    return sent(torch.from_numpy(np.concatenate([numbers, draws.view(np.int64)])), device)


@torch.library.custom_op("hrvlm::gaussian_copies", mutates_args=("out",))
def _gaussian_copies(out: Tensor, mean: Tensor, address: Tensor, sigma: float) -> None:
    """See `device_kernels.launch_gaussian`; an operator, so that compilers and fake tensors take it as it is."""
    from hrvlm.certificates.noise.device_kernels import launch_gaussian

    with torch.cuda.device_of(out):
        launch_gaussian(out, mean, address, sigma)


@torch.library.custom_op("hrvlm::grid_copies", mutates_args=("out",))
def _grid_copies(out: Tensor, pixels: Tensor, guide: Tensor, thresholds: Tensor, address: Tensor) -> None:
    """See `device_kernels.launch_grid`."""
    from hrvlm.certificates.noise.device_kernels import launch_grid

    with torch.cuda.device_of(out):
        launch_grid(out, pixels, guide, thresholds, address)
