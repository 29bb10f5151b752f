"""Random words by address: each is a function of (seed, index, draw, stream) and of its place, and of nothing else.

The generator is Philox-4x32 with ten rounds, from "Parallel Random Numbers: As Easy as 1, 2, 3", Salmon et al., SC
2011: a bijection of 128-bit counters under a 64-bit key, with no state. The key is the seed; the counter holds index,
draw, stream and the number of the block of four words, so no two addresses of a seed ever share a block.

Integers only: any machine makes the same words. They are compiled for the processor at hand, once, and kept with the
package or in the user's cache.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., object])

LANE = 256
"""Blocks made at a time, so that processors make several at once: words 0 of these come first, then words 1, 2, 3."""
CHUNK = 4 * LANE
STREAMS = 16
"""Purposes that have words of their own; what two purposes shared would not be independent."""
_BLOCKS = 2**28
_WORD, _INDEX = 2**64, 2**32
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_HALF = np.uint64(32)


def compiled(function: F) -> F:
    """The function in machine code, made when it is first called; Python's interpreter lock is released in it.

    No floating-point operation is reordered or fused, so results are the same on every machine.
    """
    return cast(F, numba.njit(function, nogil=True, cache=True, error_model="numpy"))


def address(seed: int, index: int, draws: Sequence[int]) -> tuple[NDArray[np.uint64], np.uint32, NDArray[np.uint32]]:
    """The draws, the index and both halves of the seed as the generator takes them.

    Args:
        seed: in [0, 2^64).
        index: in [0, 2^32).
        draws: each in [0, 2^64).

    Raises:
        ValueError: if a number lies outside its range.
    """
    key = _within(seed, _WORD, "seed", 64)
    halves = np.array([key % 2**32, key >> 32], dtype=np.uint32)
    numbers = np.array([_within(draw, _WORD, "draw", 64) for draw in draws], dtype=np.uint64)
    return numbers, np.uint32(_within(index, _INDEX, "index", 32)), halves


def random_words(size: int, seed: int, index: int, draws: Sequence[int], stream: int) -> NDArray[np.uint32]:
    """Uniform 32-bit words at the addresses (seed, index, draw, stream) for each draw.

    Args:
        size: words per draw, at most 2^30; the first ones do not depend on how many there are.
        seed: see `address`.
        index: see `address`.
        draws: see `address`.
        stream: number of the purpose, in [0, 16).

    Returns:
        `(len(draws), size)`.

    Raises:
        ValueError: if a number lies outside its range.
    """
    check_size(size)
    words = np.empty((len(draws), size), dtype=np.uint32)
    fill_words(words, np.uint32(_within(stream, STREAMS, "stream", 4)), *address(seed, index, draws))
    return words


def check_size(size: int) -> None:
    """ValueError for more words of a draw than its counter has blocks for."""
    if size > 4 * _BLOCKS:
        raise ValueError(f"expected at most {4 * _BLOCKS:,} random numbers per draw, got {size:,}")


@compiled
def fill_words(
    out: NDArray[np.uint32],
    stream: np.uint32,
    draws: NDArray[np.uint64],
    index: np.uint32,
    key: NDArray[np.uint32],
) -> None:
    """Fill each row with the words of one draw."""
    words = np.empty((4, LANE), dtype=np.uint32)
    flat = words.reshape(CHUNK)
    for row in range(len(draws)):
        for start in range(0, out.shape[1], CHUNK):
            fill_chunk(words, start // 4, stream, draws[row], index, key)
            stop = min(start + CHUNK, out.shape[1])
            out[row, start:stop] = flat[: stop - start]


@compiled
def fill_chunk(
    words: NDArray[np.uint32],
    block: int,
    stream: np.uint32,
    draw: np.uint64,
    index: np.uint32,
    key: NDArray[np.uint32],
) -> None:
    """Fill `(4, LANE)` with the words of so many blocks, the first of which is numbered `block`."""
    first = np.uint32(block) | np.uint32(stream << np.uint32(28))
    low, high = np.uint32(draw), np.uint32(draw >> _HALF)
    for k in range(LANE):
        a, b, c, d = np.uint32(first + np.uint32(k)), index, low, high
        left, right = key[0], key[1]
        for _ in range(10):
            one, two = _MULTIPLIERS[0] * np.uint64(a), _MULTIPLIERS[1] * np.uint64(c)
            a, b = np.uint32(two >> _HALF) ^ b ^ left, np.uint32(two)
            c, d = np.uint32(one >> _HALF) ^ d ^ right, np.uint32(one)
            left, right = np.uint32(left + _WEYL[0]), np.uint32(right + _WEYL[1])
        words[0, k], words[1, k], words[2, k], words[3, k] = a, b, c, d


def _within(value: int, limit: int, name: str, bits: int) -> int:
    """The number if it is an integer that fits so many bits unsigned."""
    number = operator.index(value)
    if not 0 <= number < limit:
        raise ValueError(f"expected {name} as an integer in [0, 2^{bits}), got {number}")
    return number
