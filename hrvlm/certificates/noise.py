"""Noise by address: each draw is a function of (seed, dataset index, draw number) and of nothing else.

The bits come from a counter-based generator, Philox-4x64: (seed, index) is its key, the draw number one word of its
counter and the stream (pixels, or the decoding of answers) another, so every draw owns 2^128 blocks of bits per stream
that nothing else touches. Hence any batch size, order, process or machine asks for the same numbers and gets them (for
one version of NumPy, whose normal transform may change).

Noise is float32: fast, and flagged in every record, since certificates assume real arithmetic.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_WORD = 2**64
_PIXELS, _DECODING = 0, 1  # streams of an address


def gaussian(shape: Sequence[int], seed: int, index: int, draws: Sequence[int], sigma: float) -> Tensor:
    """Gaussian noise of standard deviation sigma at the addresses (seed, index, draw) for each draw.

    Args:
        shape: shape of one draw, e.g. (3, H, W).
        seed: integer in [0, 2^64).
        index: dataset index of the image, in [0, 2^64).
        draws: draw numbers, each in [0, 2^64); usually a range.
        sigma: standard deviation, at least 0.

    Returns:
        `(len(draws), *shape)` float32 on the CPU.

    Raises:
        ValueError: if a number lies outside its range.
    """
    noise = torch.empty((len(draws), *shape), dtype=torch.float32)
    fill_gaussian(noise, seed, index, draws, sigma)
    return noise


def fill_gaussian(out: Tensor, seed: int, index: int, draws: Sequence[int], sigma: float) -> None:
    """Write the noise of `gaussian` into a contiguous float32 CPU tensor `(len(draws), ...)`.

    The interpreter lock is released while numbers are made, so threads filling different parts run side by side.

    Raises:
        ValueError: if a number lies outside its range or the tensor does not fit.
    """
    if not 0 <= sigma < math.inf:
        raise ValueError(f"expected sigma >= 0 and finite, got {sigma}")
    if out.dtype != torch.float32 or out.device.type != "cpu" or not out.is_contiguous() or len(out) != len(draws):
        raise ValueError(f"expected a contiguous float32 CPU tensor of {len(draws)} draws, got {out.dtype} {out.shape}")
    for row, generator in zip(out.numpy(), _generators(seed, index, draws, _PIXELS), strict=True):
        generator.standard_normal(dtype=np.float32, out=row)
    out.mul_(sigma)


def uniform(size: int, seed: int, index: int, draws: Sequence[int]) -> Tensor:
    """Uniform numbers in [0, 1) at the addresses (seed, index, draw), independent of the noise there.

    Args:
        size: numbers per draw; the first ones do not depend on how many there are.
        seed: see `gaussian`.
        index: see `gaussian`.
        draws: see `gaussian`.

    Returns:
        `(len(draws), size)` float64 on the CPU.

    Raises:
        ValueError: if a number lies outside its range.
    """
    rows = [generator.random(size) for generator in _generators(seed, index, draws, _DECODING)]
    return torch.from_numpy(np.stack(rows) if rows else np.empty((0, size)))


def _generators(seed: int, index: int, draws: Sequence[int], stream: int) -> Iterator[np.random.Generator]:
    """One generator, put to the start of each draw in turn: making a new one costs as much as 2,000 numbers.

    Each must have been used before the next one is asked for.
    """
    key = np.array([_word(seed, "seed"), _word(index, "index")], dtype=np.uint64)
    philox = np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], dtype=np.uint64))
    generator = np.random.Generator(philox)
    start: Any = philox.state
    # Lists of plain integers are read several times as fast as arrays when a state is set.
    words = {"key": key.tolist(), "counter": [0, 0, 0, stream]}
    start["state"], start["buffer"] = words, start["buffer"].tolist()
    for draw in draws:
        words["counter"][2] = _word(draw, "draw")
        philox.state = start
        yield generator


def _word(value: int, name: str) -> int:
    """The number if it is an integer that fits 64 bits unsigned."""
    number = operator.index(value)
    if not 0 <= number < _WORD:
        raise ValueError(f"expected {name} as an integer in [0, 2^64), got {number}")
    return number
