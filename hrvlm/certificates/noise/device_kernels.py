"""Noise by address in Triton: the kernels of `kernels` for an accelerator, equal to them to the last bit.

Integers are exact anywhere. Of real numbers there are only sums, products, quotients and square roots, in the order of
the processor's code and each rounded to nearest as IEEE 754 has it: `div_rn` and `sqrt_rn` ask for that, and
`UNFUSED` keeps the compiler from fusing a product into a sum, which would round once where the processor rounds twice.

Each kernel is called for a part of a row, which is a draw: program p has part p % parts of row p // parts.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from hrvlm.certificates.noise import kernels
from hrvlm.certificates.noise.device_philox import two_words, word_at, words

UNFUSED: dict[str, Any] = {"enable_fp_fusion": False}
"""Options of every launch: the bits depend on them."""
PIXELS = 1024
"""Pixels of a program of the grid's noise."""

_LANE: tl.constexpr = tl.constexpr(kernels.LANE)
_CHUNK: tl.constexpr = tl.constexpr(kernels.CHUNK)
_PIXELS: tl.constexpr = tl.constexpr(PIXELS)
_THRESHOLDS: tl.constexpr = tl.constexpr(510)
_MARK: tl.constexpr = tl.constexpr(1000)  # what is less in a guide is noise
_ROOT_HALF: tl.constexpr = tl.constexpr(int(kernels.ROOT_HALF))
_LOG_2: tl.constexpr = tl.constexpr(float(kernels.LOG_2))
_PI: tl.constexpr = tl.constexpr(float(kernels.PI))
_L0, _L1, _L2, _L3 = (tl.constexpr(float(value)) for value in kernels.LOG)
_S0, _S1, _S2, _S3 = (tl.constexpr(float(value)) for value in kernels.SIN)
_C0, _C1, _C2, _C3, _C4 = (tl.constexpr(float(value)) for value in kernels.COS)


def launch_gaussian(out: Tensor, mean: Tensor, address: Tensor, sigma: float) -> None:
    """Write mean plus noise.

    Args:
        out: `(B, size)` float32, contiguous.
        mean: `(size,)` float32.
        address: `(5 + B,)` int64: the stream, another one, the index, the halves of the seed, low one first, and the
            bits of the draws, which are numbers in [0, 2^64).
        sigma: standard deviation, a float32.
    """
    rows, size = out.shape
    programs = rows * -(-size // kernels.CHUNK)
    gaussian_kernel[(programs,)](out, mean, address, size, sigma, **UNFUSED)


def launch_grid(out: Tensor, pixels: Tensor, guide: Tensor, thresholds: Tensor, address: Tensor) -> None:
    """Write pixels plus whole noise, clipped, in units of the full range; see `grid`.

    Args:
        out: `(B, size)` float32, contiguous.
        pixels: `(size,)` int16 in 0..255.
        guide: `(65536,)` int16: noise per leading bits, or a mark of pixels that these leave open.
        thresholds: `(3, 510)` int64: the words of the exact ones, highest first.
        address: see `launch_gaussian`; the first stream has the leading bits, the other those that settle open pixels,
            of which the nth of a row has words 6 n to 6 n + 5.
    """
    rows, size = out.shape
    parts = -(-size // PIXELS)
    counts = address.new_empty((rows, parts))
    count_open_kernel[(rows * parts,)](counts, guide, address, size, **UNFUSED)
    before = counts.cumsum(1) - counts
    grid_kernel[(rows * parts,)](out, pixels, guide, thresholds, before, address, size, **UNFUSED)


@triton.jit(do_not_specialize=["sigma"])
def gaussian_kernel(out: tl.tensor, mean: tl.tensor, address: tl.tensor, size: tl.tensor, sigma: tl.tensor) -> None:
    """Mean plus noise in the places of one chunk of words."""
    parts = (size + _CHUNK - 1) // _CHUNK
    row, chunk = tl.program_id(0) // parts, tl.program_id(0) % parts
    stream, _, index, low, high, draw = _loaded(address, row)
    lanes = tl.arange(0, _LANE)
    a, b, c, d = words(chunk * _LANE + lanes, draw, stream, index, low, high)
    one, two = _turned(b, _distance(a))
    three, four = _turned(d, _distance(c))
    line = out + row.to(tl.int64) * size
    places = chunk * _CHUNK + lanes
    _store_sum(line, mean, one, sigma, places, size)
    _store_sum(line, mean, two, sigma, places + _LANE, size)
    _store_sum(line, mean, three, sigma, places + 2 * _LANE, size)
    _store_sum(line, mean, four, sigma, places + 3 * _LANE, size)


@triton.jit
def _loaded(address: tl.tensor, row: tl.tensor) -> Any:
    """Both streams, index, halves of the seed, and the draw of a row."""
    stream, later, index = tl.load(address), tl.load(address + 1), tl.load(address + 2)
    return stream, later, index, tl.load(address + 3), tl.load(address + 4), tl.load(address + 5 + row)


@triton.jit
def _store_sum(
    line: tl.tensor, mean: tl.tensor, normals: tl.tensor, sigma: tl.tensor, places: tl.tensor, size: tl.tensor
) -> None:
    inside = places < size
    tl.store(line + places, normals * sigma + tl.load(mean + places, mask=inside, other=0.0), mask=inside)


@triton.jit
def count_open_kernel(counts: tl.tensor, guide: tl.tensor, address: tl.tensor, size: tl.tensor) -> None:
    """How many pixels of a part their leading bits leave open."""
    parts = (size + _PIXELS - 1) // _PIXELS
    row, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    stream, _, index, low, high, draw = _loaded(address, row)
    places = part * _PIXELS + tl.arange(0, _PIXELS)
    _, found = _led(guide, places, size, draw, stream, index, low, high)
    tl.store(counts + tl.program_id(0), tl.sum((found >= _MARK).to(tl.int32), 0).to(tl.int64))


@triton.jit
def grid_kernel(
    out: tl.tensor,
    pixels: tl.tensor,
    guide: tl.tensor,
    thresholds: tl.tensor,
    before: tl.tensor,
    address: tl.tensor,
    size: tl.tensor,
) -> None:
    """Noisy pixels of a part, where `before` counts the open ones of the row in earlier parts."""
    parts = (size + _PIXELS - 1) // _PIXELS
    row, part = tl.program_id(0) // parts, tl.program_id(0) % parts
    stream, later, index, low, high, draw = _loaded(address, row)
    places = part * _PIXELS + tl.arange(0, _PIXELS)
    leading, noise = _led(guide, places, size, draw, stream, index, low, high)
    is_open = noise >= _MARK
    nth = tl.load(before + tl.program_id(0)).to(tl.int32) + tl.cumsum(is_open.to(tl.int32), 0) - 1
    first = (leading.to(tl.uint64) << 48) | (two_words(6 * nth, draw, later, index, low, high) >> 16)
    found, equal = _below(thresholds, first, is_open)
    if tl.sum(equal.to(tl.int32), 0) > 0:  # of 2^48 open pixels about one
        second = two_words(6 * nth + 2, draw, later, index, low, high)
        third = two_words(6 * nth + 4, draw, later, index, low, high)
        found = _below_exactly(thresholds, found, equal, first, second, third)
    noise = tl.where(is_open, found - 255, noise)
    inside = places < size
    value = noise + tl.load(pixels + places, mask=inside, other=0).to(tl.int32)
    value = tl.where(value < 0, 0, tl.where(value > 255, 255, value)).to(tl.float32)
    tl.store(out + row.to(tl.int64) * size + places, tl.div_rn(value, value * 0.0 + 255.0), mask=inside)


@triton.jit
def _led(
    guide: tl.tensor,
    places: tl.tensor,
    size: tl.tensor,
    draw: tl.tensor,
    stream: tl.tensor,
    index: tl.tensor,
    low: tl.tensor,
    high: tl.tensor,
) -> Any:
    """The leading 16 bits of pixels, and what a guide makes of them; nothing is open beyond the last pixel."""
    word = word_at(places >> 1, draw, stream, index, low, high)
    leading = ((word >> (16 * (places & 1)).to(tl.uint32)) & 0xFFFF).to(tl.int32)
    return leading, tl.load(guide + leading, mask=places < size, other=0).to(tl.int32)


@triton.jit
def _below(thresholds: tl.tensor, first: tl.tensor, is_open: tl.tensor) -> Any:
    """How many thresholds are at most these 64 bits, by their first words, and whether the last of them is these."""
    found = (first * 0).to(tl.int32)
    for k in tl.static_range(9):
        more = found + (256 >> k)
        reads = is_open & (more <= _THRESHOLDS)
        word = tl.load(thresholds + more - 1, mask=reads, other=0).to(tl.uint64, bitcast=True)
        found = tl.where(reads & (word <= first), more, found)
    reads = is_open & (found > 0)
    last = tl.load(thresholds + found - 1, mask=reads, other=0).to(tl.uint64, bitcast=True)
    return found, reads & (last == first)


@triton.jit
def _below_exactly(
    thresholds: tl.tensor, found: tl.tensor, equal: tl.tensor, first: tl.tensor, second: tl.tensor, third: tl.tensor
) -> Any:
    """How many thresholds are at most all 192 bits, where the first words equal one."""
    exact = found * 0
    for k in range(_THRESHOLDS):
        one = tl.load(thresholds + k).to(tl.uint64, bitcast=True)
        two = tl.load(thresholds + _THRESHOLDS + k).to(tl.uint64, bitcast=True)
        three = tl.load(thresholds + 2 * _THRESHOLDS + k).to(tl.uint64, bitcast=True)
        rest = (two < second) | ((two == second) & (three <= third))
        exact += ((one < first) | ((one == first) & rest)).to(tl.int32)
    return tl.where(equal, exact, found)


@triton.jit
def _distance(word: tl.tensor) -> Any:
    """sqrt(-2 log u), see `kernels`."""
    value = (word >> 1).to(tl.int32).to(tl.float32) + 0.5
    bits = value.to(tl.int32, bitcast=True)
    exponent = (bits - _ROOT_HALF) >> 23
    m = (bits - (exponent << 23)).to(tl.float32, bitcast=True)
    s = tl.div_rn(m - 1.0, m + 1.0)
    z = s * s
    log = s * (2.0 + z * (_L0 + z * (_L1 + z * (_L2 + z * _L3))))
    log = log + (exponent - 31).to(tl.float32) * _LOG_2
    return tl.sqrt_rn(-2.0 * log)


@triton.jit
def _turned(word: tl.tensor, radius: tl.tensor) -> Any:
    """(radius, 0) turned by the angle that the word is, see `kernels`."""
    quarter = (word + 0x20000000).to(tl.int32, bitcast=True) >> 30
    within = word - (quarter.to(tl.uint32, bitcast=True) << 30)
    x = within.to(tl.int32, bitcast=True).to(tl.float32) * _PI
    z = x * x
    sin = x * (1.0 + z * (_S0 + z * (_S1 + z * (_S2 + z * _S3))))
    cos = 1.0 + z * (_C0 + z * (_C1 + z * (_C2 + z * (_C3 + z * _C4))))
    odd = (quarter & 1) != 0
    one, two = tl.where(odd, sin, cos), tl.where(odd, cos, sin)
    first = tl.where(((quarter + 1) & 2) != 0, -one, one) * radius
    return first, tl.where((quarter & 2) != 0, -two, two) * radius
