"""Random words by address: each is a function of (seed, index, draw, stream) and of its place, and of nothing else.

The generator is Philox-4x32 with ten rounds, from "Parallel Random Numbers: As Easy as 1, 2, 3", Salmon et al., SC
2011: a bijection of 128-bit counters under a 64-bit key, with no state. The key is the seed; the counter holds index,
draw, stream and the number of the block of four words, so no two addresses of a seed ever share a block.

Integers only: any machine makes the same words.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STREAMS = 16
"""Purposes that have words of their own; what two purposes shared would not be independent."""
_BLOCKS = 2**28
_WORD, _INDEX = 2**64, 2**32


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
    from hrvlm.certificates.noise.kernels import fill_words  # with numba, when it is called for

    check_size(size)
    words = np.empty((len(draws), size), dtype=np.uint32)
    fill_words(words, np.uint32(_within(stream, STREAMS, "stream", 4)), *address(seed, index, draws))
    return words


def check_size(size: int) -> None:
    """ValueError for more words of a draw than its counter has blocks for."""
    if size > 4 * _BLOCKS:
        raise ValueError(f"expected at most {4 * _BLOCKS:,} random numbers per draw, got {size:,}")


def _within(value: int, limit: int, name: str, bits: int) -> int:
    """The number if it is an integer that fits so many bits unsigned."""
    number = operator.index(value)
    if not 0 <= number < limit:
        raise ValueError(f"expected {name} as an integer in [0, 2^{bits}), got {number}")
    return number
