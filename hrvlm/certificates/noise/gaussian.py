"""Noise by address: each draw is a function of (seed, dataset index, draw number) and of nothing else.

The bits are those of `philox`, a generator without state. Hence any batch size, order or process asks for the same
numbers and gets them, and so does any machine, to the last bit: what makes them normal is additions, products,
quotients and square roots in a fixed order.

Noise is float32: fast, and flagged in every record, since certificates assume real arithmetic. It is made of pairs of
uniform numbers by the transform of Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958: it has
no branches, so a processor handles many numbers at once. 31 bits make the distance from zero, so that no number exceeds
6.7 standard deviations, where a Gaussian has 3e-11 of its mass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.noise.device import makes_noise, write_normals
from hrvlm.certificates.noise.philox import address, check_size, random_words

SCHEME = "Philox-4x32-10, transform of Box and Muller, four streams"
"""How an address becomes numbers: results that share noise must share this; change it with them."""
PIXELS, GRID, GRID_LATER, DECODING = range(4)
"""Streams of an address, one per purpose."""
_NO_OVERFLOW = 1e36  # times the largest normal number still a float32


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
    """Write the noise of `gaussian`, plus a mean if given, into a contiguous float32 tensor `(len(draws), ...)`.

    A CUDA device makes the numbers itself, see `device`, and is not waited for; their bits are the processor's, which
    releases the interpreter lock while it makes them, so that threads filling different parts run side by side.

    Raises:
        ValueError: if a number lies outside its range or the tensor does not fit.
    """
    if not 0 <= sigma <= _NO_OVERFLOW:
        raise ValueError(f"expected sigma >= 0 and finite in float32, at most {_NO_OVERFLOW:g}, got {sigma}")
    check_room(out, draws)
    if mean is not None and mean.shape != out.shape[1:]:
        raise ValueError(f"expected a mean of shape {tuple(out.shape[1:])}, got {tuple(mean.shape)}")
    size = math.prod(out.shape[1:])
    check_size(size)
    shift = (
        torch.zeros(size, dtype=torch.float32, device="cpu")
        if mean is None
        else mean.detach().to(dtype=torch.float32).reshape(-1).contiguous()
    )
    rows, where = out.view(len(draws), size), address(seed, index, draws)
    if makes_noise(out.device):
        write_normals(rows, shift, sigma, PIXELS, where)
        return
    from hrvlm.certificates.noise.kernels import fill_normals  # with numba, when it is called for

    with on_processor(rows) as room:
        fill_normals(room.numpy(), shift.cpu().numpy(), np.float32(sigma), np.uint32(PIXELS), *where)


@contextmanager
def on_processor(out: Tensor) -> Iterator[Tensor]:
    """Room on the CPU for what is to stand in `out`, which is that room if it is there."""
    room = torch.empty_like(out, device="cpu") if out.device.type != "cpu" else out
    yield room
    if room is not out:
        out.copy_(room)


def check_room(out: Tensor, draws: Sequence[int]) -> None:
    """ValueError unless `out` is a contiguous float32 tensor with room for the draws: rows of it are written to."""
    if out.dtype != torch.float32 or not out.is_contiguous() or len(out) != len(draws):
        raise ValueError(f"expected a contiguous float32 tensor of {len(draws)} draws, got {out.dtype} {out.shape}")


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
