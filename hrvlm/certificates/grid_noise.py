"""Integer noise on the 8-bit grid: smoothing that is sound in floating point.

Source: "Sound Randomized Smoothing in Floating-Point Arithmetics", Voráček and Hein, ICLR 2023 (arXiv 2207.07209).
The base classifier is taken to round its input to the 8-bit grid and clip it to [0, 255] first. An image x on that grid
plus Gaussian noise eta then rounds to x plus the integer round(255 eta), whose law is known exactly:

    P(k) = Phi((k + 1/2) / (255 sigma)) - Phi((k - 1/2) / (255 sigma)).

So the integer is drawn and no real number ever is. It is drawn by inversion with thresholds floor(2^192 Phi(.)) from
as many random bits as decide: 16 for most pixels, 64 nearly always, 192 at the utmost. Nothing is rounded but the last
of these, which changes the law of a pixel by less than 2^-180. Noise beyond +-255 is drawn as +-255: clipping makes
them the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.noise import GRID, GRID_LATER, bits

TOP = 255
_BITS = 192
_DIGITS = 130
_FAR = 17  # Phi(-17) < 2^-200
_AMBIGUOUS = 32767
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
)


@dataclass(frozen=True, eq=False)
class _Table:
    """Thresholds of one sigma.

    Attributes:
        exact: 510 thresholds between -255, ..., 255 in units of 2^-192, non-decreasing.
        words: their 64 leading bits.
        guide: noise per 16 leading bits, or a mark where a threshold divides them.
    """

    exact: tuple[int, ...]
    words: NDArray[np.uint64]
    guide: NDArray[np.int16]


def grid_noise(shape: Sequence[int], seed: int, index: int, draws: Sequence[int], sigma: float) -> NDArray[np.int16]:
    """Rounded Gaussian noise in units of 1/255, at the addresses (seed, index, draw) for each draw.

    Args:
        shape: shape of one draw, e.g. (3, H, W).
        seed: integer in [0, 2^64).
        index: dataset index of the image, in [0, 2^64).
        draws: draw numbers, each in [0, 2^64).
        sigma: standard deviation of the Gaussian before rounding, in pixel units of [0, 1]; positive.

    Returns:
        `(len(draws), *shape)` integers in -255..255.

    Raises:
        ValueError: if a number lies outside its range.
    """
    table = _table(sigma)
    noise = np.empty((len(draws), *shape), dtype=np.int16)
    # Streams of their own keep these bits apart from those of the Gaussian noise, and leading from later ones.
    leading, later = (bits(seed, index, draws, stream) for stream in (GRID, GRID_LATER))
    for row, first, rest in zip(noise, leading, later, strict=True):
        _fill(row, table, first, rest)
    return noise


def grid_copies(out: Tensor, image: Tensor, seed: int, index: int, draws: Sequence[int], sigma: float) -> None:
    """Write noisy copies of an 8-bit image, rounded and clipped to the grid, into `out`.

    Args:
        out: contiguous float32 CPU tensor `(len(draws), C, H, W)`.
        image: `(C, H, W)` pixels in [0, 1], each a multiple of 1/255.
        seed: see `grid_noise`.
        index: see `grid_noise`.
        draws: see `grid_noise`.
        sigma: see `grid_noise`.

    Raises:
        ValueError: if the image is not on the 8-bit grid.
    """
    pixels = image.detach().to("cpu", torch.float64).numpy() * TOP
    whole = np.rint(pixels)
    if np.abs(pixels - whole).max(initial=0.0) > 1e-3:
        raise ValueError(
            f"expected image {index} on the 8-bit grid (multiples of 1/255) for integer noise: give it as it was "
            f"decoded, before any resizing, or use float32 noise"
        )
    noisy = grid_noise(image.shape, seed, index, draws, sigma) + whole.astype(np.int16)
    np.divide(np.clip(noisy, 0, TOP), TOP, out=out.numpy(), casting="same_kind", dtype=np.float32)


def on_grid(image: Tensor) -> Tensor:
    """The 8-bit image nearest to pixels in [0, 1]; what is certified of it is not certified of the original."""
    return (image * TOP).round() / TOP


def _fill(row: NDArray[np.int16], table: _Table, leading: Any, later: Any) -> None:
    first = leading.random_raw((row.size + 3) // 4).astype("<u8", copy=False).view("<u2")[: row.size]
    flat = table.guide.take(first)
    open_ = np.flatnonzero(flat == _AMBIGUOUS)
    if len(open_):
        rest = later.random_raw(3 * len(open_)).reshape(-1, 3)
        words = (first[open_].astype(np.uint64) << np.uint64(48)) | (rest[:, 0] >> np.uint64(16))
        above = np.searchsorted(table.words, words, side="right")
        flat[open_] = above - TOP
        for place in np.flatnonzero(np.searchsorted(table.words, words) != above):  # equal to a threshold so far
            flat[open_[place]] = _settle(table, [int(words[place]), int(rest[place, 1]), int(rest[place, 2])])
    row[...] = flat.reshape(row.shape)


def _settle(table: _Table, words: list[int]) -> int:
    """The noise of 192 random bits, where the first 64 equal those of a threshold."""
    bits = (words[0] << 128) | (words[1] << 64) | words[2]
    return sum(threshold <= bits for threshold in table.exact) - TOP


@lru_cache(maxsize=16)
def _table(sigma: float) -> _Table:
    if not 0 < sigma < float("inf"):
        raise ValueError(f"expected sigma > 0 and finite, got {sigma}")
    scale = TOP * Fraction(sigma)
    exact = tuple(_cdf_bits(Fraction(2 * k + 1, 2) / scale) for k in range(-TOP, TOP))
    words = np.array([bits >> (_BITS - 64) for bits in exact], dtype=np.uint64)
    starts = np.arange(2**16, dtype=np.uint64) << np.uint64(48)
    low = np.searchsorted(words, starts, side="right")
    high = np.searchsorted(words, starts | np.uint64(2**48 - 1), side="right")
    settled = (low == high) & ~np.isin(starts, words)
    return _Table(exact, words, np.where(settled, low - TOP, _AMBIGUOUS).astype(np.int16))


def _cdf_bits(x: Fraction) -> int:
    """floor(2^192 Phi(x)), by a series of positive terms: Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/15 + ...)."""
    if x < 0:
        return 2**_BITS - 1 - _cdf_bits(-x)
    if x > _FAR:
        return 2**_BITS - 1
    with localcontext() as context:
        context.prec = _DIGITS
        value = Decimal(x.numerator) / Decimal(x.denominator)
        term, total, odd = value, Decimal(0), 1
        while term > Decimal(10) ** (10 - _DIGITS):
            total, odd = total + term, odd + 2
            term = term * value * value / odd
        density = (-value * value / 2).exp() / (2 * _PI).sqrt()
        return int((Decimal("0.5") + density * total) * 2**_BITS)
