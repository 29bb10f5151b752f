"""Noise by address: each draw is a function of (seed, dataset index, draw number) and of nothing else.

The bits are those of `hrvlm.certificates.philox`, a generator without state. Hence any batch size, order or process
asks for the same numbers and gets them, and so does any machine, to the last bit: what makes them normal is additions,
products, quotients and square roots in a fixed order.

Noise is float32: fast, and flagged in every record, since certificates assume real arithmetic. It is made of pairs of
uniform numbers by the transform of Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958: it has
no branches, so a processor handles many numbers at once. 31 bits make the distance from zero, so that no number exceeds
6.7 standard deviations, where a Gaussian has 3e-11 of its mass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.philox import CHUNK, LANE, address, check_size, compiled, fill_chunk, random_words

SCHEME = "Philox-4x32-10, transform of Box and Muller, four streams"
"""How an address becomes numbers: results that share noise must share this; change it with them."""
PIXELS, GRID, GRID_LATER, DECODING = range(4)
"""Streams of an address, one per purpose."""

_HALF, _ONE, _TWO, _LOG_2 = (np.float32(value) for value in (0.5, 1, 2, math.log(2)))
_PI = np.float32(math.pi * 2.0**-31)  # of an angle in units of 2^-31 half turns
_ROOT_HALF = np.float32(math.sqrt(0.5)).view(np.int32)
_LOG = tuple(np.float32(2 / k) for k in (3, 5, 7, 9))  # log m = 2 artanh((m - 1) / (m + 1))
_SIN = tuple(np.float32((-1) ** k / math.factorial(2 * k + 1)) for k in (1, 2, 3, 4))
_COS = tuple(np.float32((-1) ** k / math.factorial(2 * k)) for k in (1, 2, 3, 4, 5))


def gaussian(shape: Sequence[int], seed: int, index: int, draws: Sequence[int], sigma: float) -> Tensor:
    """Gaussian noise of standard deviation sigma at the addresses (seed, index, draw) for each draw.

    Args:
        shape: shape of one draw, e.g. (3, H, W); at most 2^30 numbers, of which the first do not depend on how many
            there are.
        seed: integer in [0, 2^64).
        index: dataset index of the image, in [0, 2^32).
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
    size = math.prod(out.shape[1:])
    check_size(size)
    shift = torch.zeros(size) if mean is None else mean.detach().to("cpu", torch.float32).reshape(-1).contiguous()
    _fill_normals(out.numpy().reshape(len(draws), size), shift.numpy(), np.float32(sigma), *address(seed, index, draws))


@compiled
def _fill_normals(
    out: NDArray[np.float32],
    mean: NDArray[np.float32],
    sigma: np.float32,
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
            fill_chunk(words, start // 4, np.uint32(PIXELS), draws[row], index, key)
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
        exponent = np.int32(np.int32(bits[k] - _ROOT_HALF) >> np.int32(23))
        bits[k] = np.int32(bits[k] - np.int32(exponent << np.int32(23)))
        m = out[k]
        s = (m - _ONE) / (m + _ONE)
        z = s * s
        log = s * (_TWO + z * (_LOG[0] + z * (_LOG[1] + z * (_LOG[2] + z * _LOG[3]))))
        log += np.float32(exponent - np.int32(31)) * _LOG_2
        out[k] = np.sqrt(-_TWO * log)


@compiled
def _turn(words: NDArray[np.uint32], first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
    """Turn (first, 0) by the angle that is the signed word in units of 2^-31 half turns."""
    for k in range(len(words)):
        word = np.int32(words[k])
        quarter = np.int32(np.int32(word + np.int32(2**29)) >> np.int32(30))
        x = np.float32(np.int32(word - np.int32(quarter << np.int32(30)))) * _PI  # at most an eighth turn from it
        z = x * x
        sin = x * (_ONE + z * (_SIN[0] + z * (_SIN[1] + z * (_SIN[2] + z * _SIN[3]))))
        cos = _ONE + z * (_COS[0] + z * (_COS[1] + z * (_COS[2] + z * (_COS[3] + z * _COS[4]))))
        odd = (quarter & np.int32(1)) != 0
        one, two = (sin if odd else cos), (cos if odd else sin)
        radius = first[k]
        first[k] = (-one if (np.int32(quarter + np.int32(1)) & np.int32(2)) != 0 else one) * radius
        second[k] = (-two if (quarter & np.int32(2)) != 0 else two) * radius


def uniform(size: int, seed: int, index: int, draws: Sequence[int]) -> Tensor:
    """Uniform numbers in [0, 1) at the addresses (seed, index, draw), independent of the noise there.

    Args:
        size: numbers per draw; the first ones do not depend on how many there are.
        seed: see `gaussian`.
        index: see `gaussian`.
        draws: see `gaussian`.

    Returns:
        `(len(draws), size)` float64 on the CPU, multiples of 2^-53.

    Raises:
        ValueError: if a number lies outside its range.
    """
    words = random_words(2 * size, seed, index, draws, DECODING).reshape(len(draws), size, 2)
    high, low = words[..., 0] >> 5, words[..., 1] >> 6
    return torch.from_numpy((high * 2.0**26 + low) * 2.0**-53)
