"""The kernels of noise in Triton, run by its interpreter on tensors of the CPU, against the processor's noise.

A program of its own, for the interpreter has to be chosen before Triton is imported and leaves its traces there: run
with `TRITON_INTERPRET=1`, it prints what was equal.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates import fill_gaussian
from hrvlm.certificates.noise import device, kernels
from hrvlm.certificates.noise import grid as grid_module
from hrvlm.certificates.noise.gaussian import GRID, GRID_LATER, PIXELS
from hrvlm.certificates.noise.grid import _decided, _Table, grid_copies, words_of
from hrvlm.certificates.noise.philox import address, random_words

CASES = [
    (5, 2**31, 2**31, [4, 0, 2**64 - 1, 4], 0.5),
    (1300, 2**64 - 1, 2**32 - 1, range(2**63 - 1, 2**63 + 1), 1e-4),
]
CPU = torch.device("cpu")


def image_of(size: int) -> Tensor:
    return (torch.rand(size, generator=torch.Generator().manual_seed(size)) * 255).round() / 255


def check_case(size: int, seed: int, index: int, draws: list[int] | range, sigma: float) -> None:
    image, where = image_of(size), address(seed, index, draws)
    expected, made = torch.empty(2, len(draws), size)
    fill_gaussian(expected, seed, index, draws, sigma, image)
    device.write_normals(made, image, sigma, PIXELS, where)
    print("float32", torch.equal(made, expected))
    grid_copies(expected, image, seed, index, draws, sigma)
    pixels = (image * 255).round().to(torch.int16)
    device.write_whole(made, pixels, *grid_module._table_on(sigma, CPU), (GRID, GRID_LATER), where)
    print("grid", torch.equal(made, expected))


def crafted(leading: np.ndarray, later: np.ndarray) -> _Table:
    """A table that leaves every pixel open, with thresholds at, below and above the bits that settle some pixels."""
    words = [int(lead) << 48 | int(bits[0]) >> 16 for lead, bits in zip(leading, later, strict=True)]
    exact = [
        (word << 128) + (int(bits[1]) << 64) + int(bits[2]) + shift
        for word, bits in zip(words, later, strict=True)
        for shift in (0, 1, -1, 2**64, -(2**64), 2**64 - 1)
    ]
    exact = sorted([0] * (510 - len(exact)) + exact)
    everything = np.arange(2**16)
    guide = np.full(2**16, 1000, dtype=np.int16)
    guide[leading] += np.arange(len(leading), dtype=np.int16)
    return _Table(
        tuple(exact),
        np.array([bits >> 128 for bits in exact], dtype=np.uint64),
        guide,
        np.concatenate([leading, everything[: 2**15]]).astype(np.uint64),
    )


def check_crafted() -> None:
    """Bits that meet a threshold are settled by those that follow."""
    size, where = 40, address(7, 9, [3])
    words = random_words(size, 7, 9, [3], GRID)[0]
    leading = (words.repeat(2) >> np.tile([0, 16], size).astype(np.uint32))[:size] & 0xFFFF
    halves = random_words(6 * size, 7, 9, [3], GRID_LATER).reshape(size, 3, 2).astype(np.uint64)
    later = halves[..., 0] << np.uint64(32) | halves[..., 1]
    table = crafted(leading, later)
    noise = _decided(table, np.arange(size, dtype=np.int16), later)
    pixels = torch.full((size,), 100, dtype=torch.int16)
    expected, made = torch.empty(2, 1, size)
    kernels.add_clipped(expected.numpy(), noise[None], pixels.numpy())
    words_on_device, guide = torch.from_numpy(words_of(table.exact)), torch.from_numpy(table.guide)
    device.write_whole(made, pixels, guide, words_on_device, (GRID, GRID_LATER), where)
    print("met", torch.equal(made, expected) and len(set(expected[0].tolist())) > size / 2)


def check_nothing() -> None:
    device.write_normals(torch.empty(0, 5), torch.zeros(5), 1.0, PIXELS, address(1, 1, []))
    device.write_normals(torch.empty(2, 0), torch.zeros(0), 1.0, PIXELS, address(1, 1, [1, 2]))
    print("nothing", True)


if __name__ == "__main__":
    for case in CASES:
        check_case(*case)
    check_crafted()
    check_nothing()
