"""Random numbers in machine code: the words of Philox-4x32-10 and what noise makes of them.

Everything here is called from `philox`, `noise` and `grid_noise`, which say what it is; rows are draws. These functions
share a file since machine code is kept until the file of its source changes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates._jit import compiled

LANE = 256
"""Blocks made at a time, so that processors make several at once: words 0 of these come first, then words 1, 2, 3."""
CHUNK = 4 * LANE
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_HALF_WORD = np.uint64(32)

_HALF, _ONE, _TWO, LOG_2 = (np.float32(value) for value in (0.5, 1, 2, math.log(2)))
PI = np.float32(math.pi * 2.0**-31)  # of an angle in units of 2^-31 half turns
ROOT_HALF = np.float32(math.sqrt(0.5)).view(np.int32)
LOG = tuple(np.float32(2 / k) for k in (3, 5, 7, 9))  # log m = 2 artanh((m - 1) / (m + 1))
SIN = tuple(np.float32((-1) ** k / math.factorial(2 * k + 1)) for k in (1, 2, 3, 4))
COS = tuple(np.float32((-1) ** k / math.factorial(2 * k)) for k in (1, 2, 3, 4, 5))


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
            _chunk(words, start // 4, stream, draws[row], index, key)
            stop = min(start + CHUNK, out.shape[1])
            out[row, start:stop] = flat[: stop - start]


@compiled
def _chunk(
    words: NDArray[np.uint32],
    block: int,
    stream: np.uint32,
    draw: np.uint64,
    index: np.uint32,
    key: NDArray[np.uint32],
) -> None:
    """Fill `(4, LANE)` with the words of so many blocks, the first of which is numbered `block`."""
    first = np.uint32(block) | np.uint32(stream << np.uint32(28))
    low, high = np.uint32(draw), np.uint32(draw >> _HALF_WORD)
    for k in range(LANE):
        a, b, c, d = np.uint32(first + np.uint32(k)), index, low, high
        left, right = key[0], key[1]
        for _ in range(10):
            one, two = _MULTIPLIERS[0] * np.uint64(a), _MULTIPLIERS[1] * np.uint64(c)
            a, b = np.uint32(two >> _HALF_WORD) ^ b ^ left, np.uint32(two)
            c, d = np.uint32(one >> _HALF_WORD) ^ d ^ right, np.uint32(one)
            left, right = np.uint32(left + _WEYL[0]), np.uint32(right + _WEYL[1])
        words[0, k], words[1, k], words[2, k], words[3, k] = a, b, c, d


@compiled
def fill_normals(
    out: NDArray[np.float32],
    mean: NDArray[np.float32],
    sigma: np.float32,
    stream: np.uint32,
    draws: NDArray[np.uint64],
    index: np.uint32,
    key: NDArray[np.uint32],
) -> None:
    """Fill each row with the noise of one draw, a chunk at a time in memory that stays in the processor's cache."""
    words = np.empty((4, LANE), dtype=np.uint32)
    normals = np.empty((4, LANE), dtype=np.float32)
    flat = normals.reshape(CHUNK)
    for row in range(len(draws)):
        for start in range(0, out.shape[1], CHUNK):
            _chunk(words, start // 4, stream, draws[row], index, key)
            for k in (0, 2):
                _distances(words[k], normals[k])
                _turn(words[k + 1], normals[k], normals[k + 1])
            stop = min(start + CHUNK, out.shape[1])
            for i in range(stop - start):
                out[row, start + i] = flat[i] * sigma + mean[start + i]


@compiled
def _distances(words: NDArray[np.uint32], out: NDArray[np.float32]) -> None:
    """sqrt(-2 log u) for u = (w + 1/2) / 2^31, where w are the upper 31 bits; never the logarithm of zero."""
    bits = out.view(np.int32)
    for k in range(len(words)):
        out[k] = np.float32(np.int32(words[k] >> np.uint32(1))) + _HALF
    for k in range(len(words)):
        # u 2^31 = 2^exponent m with m between the roots of 1/2 and 2, where the logarithm's series is short.
        exponent = np.int32(np.int32(bits[k] - ROOT_HALF) >> np.int32(23))
        bits[k] = np.int32(bits[k] - np.int32(exponent << np.int32(23)))
        m = out[k]
        s = (m - _ONE) / (m + _ONE)
        z = s * s
        log = s * (_TWO + z * (LOG[0] + z * (LOG[1] + z * (LOG[2] + z * LOG[3]))))
        log += np.float32(exponent - np.int32(31)) * LOG_2
        out[k] = np.sqrt(-_TWO * log)


@compiled
def _turn(words: NDArray[np.uint32], first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
    """Turn (first, 0) by the angle that is the signed word in units of 2^-31 half turns."""
    for k in range(len(words)):
        word = np.int32(words[k])
        quarter = np.int32(np.int32(word + np.int32(2**29)) >> np.int32(30))
        x = np.float32(np.int32(word - np.int32(quarter << np.int32(30)))) * PI  # at most an eighth turn from it
        z = x * x
        sin = x * (_ONE + z * (SIN[0] + z * (SIN[1] + z * (SIN[2] + z * SIN[3]))))
        cos = _ONE + z * (COS[0] + z * (COS[1] + z * (COS[2] + z * (COS[3] + z * COS[4]))))
        odd = (quarter & np.int32(1)) != 0
        one, two = (sin if odd else cos), (cos if odd else sin)
        radius = first[k]
        first[k] = (-one if (np.int32(quarter + np.int32(1)) & np.int32(2)) != 0 else one) * radius
        second[k] = (-two if (quarter & np.int32(2)) != 0 else two) * radius


@compiled
def fill_from_guide(
    out: NDArray[np.int16],
    guide: NDArray[np.int16],
    stream: np.uint32,
    draws: NDArray[np.uint64],
    index: np.uint32,
    key: NDArray[np.uint32],
) -> None:
    """Fill each row with what the leading 16 bits of its pixels say; a word has those of two."""
    words = np.empty((4, LANE), dtype=np.uint32)
    flat = words.reshape(CHUNK)
    for row in range(len(draws)):
        for start in range(0, out.shape[1], 2 * CHUNK):
            _chunk(words, start // 8, stream, draws[row], index, key)
            for i in range(min(2 * CHUNK, out.shape[1] - start)):
                out[row, start + i] = guide[(flat[i >> 1] >> np.uint32(16 * (i & 1))) & np.uint32(0xFFFF)]


@compiled
def add_clipped(out: NDArray[np.float32], noise: NDArray[np.int16], pixels: NDArray[np.int16]) -> None:
    """Write pixels plus noise, clipped to the grid, in units of the full range."""
    for row in range(len(noise)):
        for i in range(len(pixels)):
            value = min(max(np.int32(noise[row, i]) + np.int32(pixels[i]), np.int32(0)), np.int32(255))
            out[row, i] = np.float32(value) / np.float32(255)
