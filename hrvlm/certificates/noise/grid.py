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

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.noise.device import makes_noise, write_whole
from hrvlm.certificates.noise.gaussian import GRID, GRID_LATER, check_room, on_processor
from hrvlm.certificates.noise.philox import address, check_size, random_words

TOP = 255
_BITS = 192
_DIGITS = 130
_FAR = 17  # Phi(-17) < 2^-200
_MARK = 1000
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
)


@dataclass(frozen=True, eq=False)
class _Table:
    """Thresholds of one sigma.

    Attributes:
        exact: 510 thresholds between -255, ..., 255 in units of 2^-192, non-decreasing.
        words: their 64 leading bits.
        guide: noise per 16 leading bits, or 1000 + the place among `divided`.
        divided: the leading bits, ascending, whose continuations a threshold divides.
    """

    exact: tuple[int, ...]
    words: NDArray[np.uint64]
    guide: NDArray[np.int16]
    divided: NDArray[np.uint64]


def grid_noise(shape: Sequence[int], seed: int, index: int, draws: Sequence[int], sigma: float) -> NDArray[np.int16]:
    """Rounded Gaussian noise in units of 1/255, at the addresses (seed, index, draw) for each draw.

    Args:
        shape: shape of one draw, e.g. (3, H, W).
        seed: integer in [0, 2^64).
        index: dataset index of the image, in [0, 2^32).
        draws: draw numbers, each in [0, 2^64).
        sigma: standard deviation of the Gaussian before rounding, in pixel units of [0, 1]; positive.

    Returns:
        `(len(draws), *shape)` integers in -255..255.

    Raises:
        ValueError: if a number lies outside its range.
    """
    from hrvlm.certificates.noise.kernels import fill_from_guide  # with numba, when it is called for

    table = _table(sigma)
    noise = np.empty((len(draws), *shape), dtype=np.int16)
    rows = noise.reshape(len(draws), math.prod(shape))
    check_size(rows.shape[1])
    fill_from_guide(rows, table.guide, np.uint32(GRID), *address(seed, index, draws))
    row, place = np.divmod(np.flatnonzero(rows >= _MARK), max(1, rows.shape[1]))
    if len(row):
        starts = np.searchsorted(row, np.arange(len(rows)))
        nth = np.arange(len(row)) - starts[row]  # of its row
        later = random_words(6 * (int(nth.max()) + 1), seed, index, draws, GRID_LATER)
        halves = later.reshape(len(rows), -1, 3, 2)[row, nth].astype(np.uint64)
        rows[row, place] = _decided(table, rows[row, place] - _MARK, halves[..., 0] << np.uint64(32) | halves[..., 1])
    return noise


def grid_copies(out: Tensor, image: Tensor, seed: int, index: int, draws: Sequence[int], sigma: float) -> None:
    """Write noisy copies of an 8-bit image, rounded and clipped to the grid, into `out`.

    Args:
        out: contiguous float32 tensor `(len(draws), C, H, W)`; a CUDA device makes the noise itself, see `device`.
        image: `(C, H, W)` pixels in [0, 1], each a multiple of 1/255.
        seed: see `grid_noise`.
        index: see `grid_noise`.
        draws: see `grid_noise`.
        sigma: see `grid_noise`.

    Raises:
        ValueError: if the image is not on the 8-bit grid, or the tensor does not fit.
    """
    check_room(out, draws)
    pixels = image.detach().to("cpu", torch.float64).numpy() * TOP
    whole = np.rint(pixels)
    if not np.abs(pixels - whole).max(initial=0.0) <= 1e-3:
        raise ValueError(
            f"expected image {index} on the 8-bit grid (multiples of 1/255) for integer noise: give it as it was "
            f"decoded, before any resizing, or use float32 noise"
        )
    rows, pixels = out.view(len(draws), whole.size), whole.astype(np.int16).reshape(-1)
    if makes_noise(out.device):
        check_size(whole.size)
        where = address(seed, index, draws)
        write_whole(rows, torch.from_numpy(pixels), *_table_on(sigma, out.device), (GRID, GRID_LATER), where)
        return
    from hrvlm.certificates.noise.kernels import add_clipped  # with numba, when it is called for

    with on_processor(rows) as room:
        add_clipped(room.numpy(), grid_noise((whole.size,), seed, index, draws, sigma), pixels)


def on_grid(image: Tensor) -> Tensor:
    """The 8-bit image nearest to pixels in [0, 1]; what is certified of it is not certified of the original."""
    return (image * TOP).round() / TOP


def _decided(table: _Table, marks: NDArray[np.int16], later: NDArray[np.uint64]) -> NDArray[np.int16]:
    """Noise of pixels (N,) whose leading bits leave it open, by more bits (N, 3)."""
    words = (table.divided[marks] << np.uint64(48)) | (later[:, 0] >> np.uint64(16))
    above = np.searchsorted(table.words, words, side="right")
    found = (above - TOP).astype(np.int16)
    for k in np.flatnonzero(np.searchsorted(table.words, words) != above):  # equal to a threshold so far
        found[k] = _settle(table, [int(words[k]), int(later[k, 1]), int(later[k, 2])])
    return found


def _settle(table: _Table, words: list[int]) -> int:
    """The noise of 192 random bits, where the first 64 equal those of a threshold."""
    bits = (words[0] << 128) | (words[1] << 64) | words[2]
    return sum(threshold <= bits for threshold in table.exact) - TOP


@lru_cache(maxsize=16)
def _table_on(sigma: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Guide and thresholds of one sigma on a device, see `device.write_whole`."""
    table = _table(sigma)
    return torch.from_numpy(table.guide).to(device), torch.from_numpy(words_of(table.exact)).to(device)


def words_of(thresholds: Sequence[int]) -> NDArray[np.int64]:
    """Numbers of 192 bits as `(3, N)` words, highest first, with the bits of unsigned ones."""
    words = [[bits >> shift & (2**64 - 1) for bits in thresholds] for shift in (128, 64, 0)]
    return np.array(words, dtype=np.uint64).view(np.int64)


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
    guide = np.where(settled, low - TOP, _MARK + np.cumsum(~settled) - 1).astype(np.int16)
    return _Table(exact, words, guide, np.flatnonzero(~settled).astype(np.uint64))


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
