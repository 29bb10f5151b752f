"""Words of Philox-4x32-10 in Triton, the same as those of `kernels`: integers alone.

Arguments that are called so everywhere, all int64: `draw`, the bits of a number in [0, 2^64); `stream`, `index` and
the halves of the seed, `low` and `high`, numbers of 32 bits.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from hrvlm.certificates.noise import kernels

_LANE: tl.constexpr = tl.constexpr(kernels.LANE)
_CHUNK: tl.constexpr = tl.constexpr(kernels.CHUNK)
_MULTIPLIER_A: tl.constexpr = tl.constexpr(0xD2511F53)
_MULTIPLIER_C: tl.constexpr = tl.constexpr(0xCD9E8D57)
_WEYL_LOW: tl.constexpr = tl.constexpr(0x9E3779B9)
_WEYL_HIGH: tl.constexpr = tl.constexpr(0xBB67AE85)


@triton.jit
def two_words(
    place: tl.tensor, draw: tl.tensor, stream: tl.tensor, index: tl.tensor, low: tl.tensor, high: tl.tensor
) -> Any:
    """64 bits: the word at a place, then the next."""
    one = word_at(place, draw, stream, index, low, high).to(tl.uint64)
    return (one << 32) | word_at(place + 1, draw, stream, index, low, high).to(tl.uint64)


@triton.jit
def word_at(
    place: tl.tensor, draw: tl.tensor, stream: tl.tensor, index: tl.tensor, low: tl.tensor, high: tl.tensor
) -> Any:
    """Words at places, in the order of `kernels.fill_words`."""
    a, b, c, d = words(place // _CHUNK * _LANE + place % _LANE, draw, stream, index, low, high)
    number = place % _CHUNK // _LANE
    return tl.where(number < 2, tl.where(number == 0, a, b), tl.where(number == 2, c, d))


@triton.jit
def words(
    block: tl.tensor, draw: tl.tensor, stream: tl.tensor, index: tl.tensor, low: tl.tensor, high: tl.tensor
) -> Any:
    """The four words of blocks: Philox-4x32-10, with the counter and key of `kernels`."""
    a = block.to(tl.uint32, bitcast=True) | (stream.to(tl.uint32) << 28)
    b = a * 0 + index.to(tl.uint32)
    c = a * 0 + draw.to(tl.uint32)
    d = a * 0 + (draw >> 32).to(tl.uint32)
    left, right = low.to(tl.uint32), high.to(tl.uint32)
    for _ in tl.static_range(10):
        next_a = tl.umulhi(c, _MULTIPLIER_C) ^ b ^ left
        next_c = tl.umulhi(a, _MULTIPLIER_A) ^ d ^ right
        b, d = c * _MULTIPLIER_C, a * _MULTIPLIER_A
        a, c = next_a, next_c
        left, right = left + _WEYL_LOW, right + _WEYL_HIGH
    return a, b, c, d
