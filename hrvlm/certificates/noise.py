"""Noise by address: each draw is a function of (seed, dataset index, draw number) and of nothing else.

The bits come from a counter-based generator, Philox-4x64: (seed, index) is its key, the draw number one word of its
counter and the stream (pixels, or the decoding of answers) another, so every draw owns 2^128 blocks of bits per stream
that nothing else touches. Hence any batch size, order or process asks for the same numbers and gets them; so does any
machine, but for the last bits of sines and logarithms, which depend on NumPy's version and the kind of processor.

Noise is float32: fast, and flagged in every record, since certificates assume real arithmetic. It is made of pairs of
uniform numbers by the transform of Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958: it has
no branches, so a processor handles many numbers at once. 31 bits make the distance from zero, so that no number exceeds
6.7 standard deviations, where a Gaussian has 3e-11 of its mass.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_WORD = 2**64
SCHEME = "Philox-4x64, transform of Box and Muller, four streams"
"""How an address becomes numbers: results that share noise must share this; change it with them."""
PIXELS, GRID, GRID_LATER, DECODING = range(4)
"""Streams of an address, one per purpose: what two purposes shared would not be independent."""


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


def fill_gaussian(
    out: Tensor, seed: int, index: int, draws: Sequence[int], sigma: float, mean: Tensor | None = None
) -> None:
    """Write the noise of `gaussian`, plus a mean if given, into a contiguous float32 CPU tensor `(len(draws), ...)`.

    The interpreter lock is released while numbers are made, so threads filling different parts run side by side.

    Raises:
        ValueError: if a number lies outside its range or the tensor does not fit.
    """
    if not 0 <= sigma < math.inf:
        raise ValueError(f"expected sigma >= 0 and finite, got {sigma}")
    if out.dtype != torch.float32 or out.device.type != "cpu" or not out.is_contiguous() or len(out) != len(draws):
        raise ValueError(f"expected a contiguous float32 CPU tensor of {len(draws)} draws, got {out.dtype} {out.shape}")
    if mean is not None and mean.shape != out.shape[1:]:
        raise ValueError(f"expected a mean of shape {tuple(out.shape[1:])}, got {tuple(mean.shape)}")
    shift = None if mean is None else mean.detach().to("cpu", torch.float32).contiguous().numpy().reshape(-1)
    rows = out.numpy().reshape(len(draws), math.prod(out.shape[1:]))
    normals = _Normals(rows.shape[1], sigma)
    for row, source in zip(rows, bits(seed, index, draws, PIXELS), strict=True):
        normals.write(row, source, shift)


class _Normals:
    """Makes normal numbers, a fixed number at a time, in memory that stays in the processor's cache.

    Args:
        size: numbers at a time.
        sigma: their standard deviation.
    """

    def __init__(self, size: int, sigma: float) -> None:
        self._half, self._sigma = (size + 1) // 2, np.float32(sigma)
        self._bits = np.empty(self._half, dtype=np.int32)
        self._radius, self._angle, self._wave = np.empty((3, self._half), dtype=np.float32)

    def write(self, row: NDArray[np.float32], source: Any, shift: NDArray[np.float32] | None) -> None:
        """Replace the numbers of a row; `source` is at the start of its stream."""
        words = source.random_raw(self._half).astype("<u8", copy=False).view("<i4")
        radius, angle = self._radius, self._angle
        np.bitwise_and(words[: self._half], 2**31 - 1, out=self._bits)
        np.copyto(radius, self._bits, casting="unsafe")
        radius += np.float32(0.5)  # the logarithm of zero is not needed
        radius *= np.float32(2.0**-31)
        np.log(radius, out=radius)
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        radius *= self._sigma
        np.copyto(angle, words[self._half :], casting="unsafe")
        angle *= np.float32(math.pi * 2.0**-31)
        for wave, part in ((np.cos, row[: self._half]), (np.sin, row[self._half :])):
            wave(angle, out=self._wave)
            np.multiply(self._wave[: len(part)], radius[: len(part)], out=part)
        if shift is not None:
            row += shift


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
    rows = [np.random.Generator(source).random(size) for source in bits(seed, index, draws, DECODING)]
    return torch.from_numpy(np.stack(rows) if rows else np.empty((0, size)))


def bits(seed: int, index: int, draws: Sequence[int], stream: int) -> Iterator[Any]:
    """NumPy's Philox at the start of a stream of each draw in turn.

    It is one and the same, since making a new one costs as much as 2,000 numbers: each must have been used before the
    next one is asked for.

    Args:
        seed: see `gaussian`.
        index: see `gaussian`.
        draws: see `gaussian`.
        stream: number of the stream in [0, 2^64): one per purpose.

    Raises:
        ValueError: if a number lies outside its range.
    """
    key = np.array([_word(seed, "seed"), _word(index, "index")], dtype=np.uint64)
    philox = np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], dtype=np.uint64))
    start: Any = philox.state
    # Lists of plain integers are read several times as fast as arrays when a state is set.
    words = {"key": key.tolist(), "counter": [0, 0, 0, stream]}
    start["state"], start["buffer"] = words, start["buffer"].tolist()
    for draw in draws:
        words["counter"][2] = _word(draw, "draw")
        philox.state = start
        yield philox


def _word(value: int, name: str) -> int:
    """The number if it is an integer that fits 64 bits unsigned."""
    number = operator.index(value)
    if not 0 <= number < _WORD:
        raise ValueError(f"expected {name} as an integer in [0, 2^64), got {number}")
    return number
