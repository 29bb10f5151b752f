from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from hrvlm.certificates import fill_gaussian, gaussian
from hrvlm.certificates.grid_noise import grid_noise
from hrvlm.certificates.noise import DECODING, GRID, GRID_LATER, PIXELS, _Normals, uniform

SHAPE = (3, 16, 16)


def test_a_draw_depends_on_its_address_only():
    whole = gaussian(SHAPE, 7, 123, range(50), 0.5)
    for draws in (range(20, 30), range(0, 50, 7), [49, 3, 3], range(30, 10, -1)):
        assert torch.equal(gaussian(SHAPE, 7, 123, draws, 0.5), whole[list(draws)])
    other = torch.empty(2, *SHAPE)
    fill_gaussian(other, 7, 123, range(8, 10), 0.5)
    assert torch.equal(other, whole[8:10])
    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    gaussian(SHAPE, 1, 2, range(3), 1.0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def stream(seed: int, index: int, draw: int, number: int) -> np.random.Philox:
    return np.random.Philox(key=np.array([seed, index]), counter=np.array([0, 0, draw, number], dtype=np.uint64))


def transformed(source: np.random.Philox, size: int) -> list[float]:
    """The transform of Box and Muller in Python's double precision, number by number."""
    words = [int(word) >> shift & 2**32 - 1 for word in source.random_raw((size + 1) // 2) for shift in (0, 32)]
    half = len(words) // 2
    lengths = [math.sqrt(-2 * math.log((word % 2**31 + 0.5) / 2**31)) for word in words[:half]]
    angles = [2 * math.pi * (word / 2**32 - (word >= 2**31)) for word in words[half:]]
    cosines = [length * math.cos(angle) for length, angle in zip(lengths, angles, strict=True)]
    return [*cosines, *(length * math.sin(angle) for length, angle in zip(lengths, angles, strict=True))][:size]


@pytest.mark.parametrize("size", [1, 5, 12, 301])
def test_each_draw_is_made_of_a_stream_of_its_own(size: int):
    # Odd sizes leave half a word over, none of which may reach the next draw.
    draws = [4, 0, 2**64 - 1, 4]
    rows = gaussian((size,), 7, 9, draws, 1.0)
    for draw, row, more in zip(draws, rows, uniform(size, 7, 9, draws), strict=True):
        assert row.tolist() == pytest.approx(transformed(stream(7, 9, draw, 0), size), abs=2e-5)
        assert more.tolist() == np.random.Generator(stream(7, 9, draw, 3)).random(size).tolist()


class Bits:
    """A source of chosen words."""

    def __init__(self, low: int, high: int) -> None:
        self.word = low | high << 32

    def random_raw(self, size: int) -> np.ndarray:
        return np.full(size, self.word, dtype=np.uint64)


@pytest.mark.parametrize(("low", "largest"), [(0, 6.7), (2**31 - 1, 1e-3), (2**31, 6.7), (2**32 - 1, 1e-3)])
def test_extreme_bits_give_finite_numbers(low: int, largest: float):
    row = np.empty(2, dtype=np.float32)
    for high in (0, 2**31 - 1, 2**31, 2**32 - 1):
        _Normals(2, 1.0).write(row, Bits(low, high), None)
        assert np.isfinite(row).all()
        assert np.hypot(*row) <= largest
        assert (np.hypot(*row) > 6.6) == (largest > 6)


def test_a_mean_is_added():
    mean = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noisy = torch.empty(4, 3, 5, 7)
    for given in (mean, mean.permute(2, 1, 0).contiguous().permute(2, 1, 0)):  # whatever its layout
        fill_gaussian(noisy, 7, 123, range(4), 0.5, given)
        assert torch.equal(noisy, gaussian((3, 5, 7), 7, 123, range(4), 0.5) + mean.float())
    with pytest.raises(ValueError, match="expected a mean of shape"):
        fill_gaussian(noisy, 7, 123, range(4), 0.5, mean[:, :, :1])


def test_another_process_draws_the_same():
    code = "from hrvlm.certificates import gaussian; print(gaussian((5,), 9, 8, [70, 2], 1.5).tolist())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(gaussian((5,), 9, 8, [70, 2], 1.5).tolist())


def test_moments_and_distribution():
    noise = gaussian((3, 64, 64), 3, 1, range(60), 0.25).double()
    count = noise.numel()
    assert noise.dtype == torch.float64
    z = noise / 0.25
    for power, mean, deviation in [(1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)]:
        assert abs(float(z.pow(power).mean()) - mean) < 5 * deviation / count**0.5
    assert kstest(z.flatten().numpy(), "norm").pvalue > 1e-4
    halves = z.reshape(60, 2, -1)  # the numbers of a pair lie half a draw apart
    pairs = halves[:, 0].square() + halves[:, 1].square()
    assert kstest(pairs.flatten().numpy(), "chi2", (2,)).pvalue > 1e-4
    assert (
        kstest(torch.atan2(halves[:, 1], halves[:, 0]).flatten().numpy() / (2 * math.pi) + 0.5, "uniform").pvalue > 1e-4
    )
    tails = (z.abs() > 4).sum()
    assert 20 < tails < 80  # 46.7 expected of 737,280


def test_addresses_are_uncorrelated():
    size = 4096
    addresses = [(s, i, d) for s in (0, 1, 2**40) for i in (0, 1, 2, 2**33) for d in (0, 1, 2, 1000)]
    rows = torch.cat([gaussian((size,), s, i, [d], 1.0) for s, i, d in addresses]).double()
    correlation = rows @ rows.T / size - torch.eye(len(rows), dtype=torch.float64)
    off = correlation - torch.diag(correlation.diagonal())
    assert off.abs().max() < 6 / size**0.5
    shifted = (rows[:, :-1] @ rows[:, 1:].T) / size
    assert shifted.abs().max() < 6 / size**0.5


def test_extreme_addresses():
    top = 2**64 - 1
    rows = [gaussian((64,), s, i, [d], 1.0) for s, i, d in [(top, 0, 0), (0, top, 0), (0, 0, top), (top, top, top)]]
    rows.append(gaussian((64,), 0, 0, [0], 1.0))
    assert torch.cat(rows).isfinite().all()
    assert len({tuple(row.flatten().tolist()) for row in rows}) == 5
    for name, arguments in {"seed": (-1, 0, [0]), "index": (0, 2**64, [0]), "draw": (0, 0, [-3])}.items():
        with pytest.raises(ValueError, match=f"expected {name} as an integer in"):
            gaussian((4,), *arguments, 1.0)


def test_scale_and_errors():
    assert torch.equal(gaussian((8,), 1, 1, [4], 0.0), torch.zeros(1, 8))
    assert gaussian((8,), 1, 1, [], 1.0).shape == (0, 8)
    torch.testing.assert_close(gaussian((8,), 1, 1, [4], 2.0), 2 * gaussian((8,), 1, 1, [4], 1.0))
    for sigma in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected sigma"):
            gaussian((8,), 1, 1, [4], sigma)
    with pytest.raises(ValueError, match="expected a contiguous float32"):
        fill_gaussian(torch.empty(2, 4, dtype=torch.float64), 1, 1, [0, 1], 1.0)


def test_uniform_numbers_go_by_address_and_are_not_those_of_the_noise():
    whole = uniform(6, 7, 123, range(40))
    assert torch.equal(uniform(6, 7, 123, range(10, 20)), whole[10:20])
    assert torch.equal(uniform(3, 7, 123, [39, 5]), whole[[39, 5], :3])
    assert uniform(4, 7, 123, range(0)).shape == (0, 4)
    many = torch.cat([uniform(50, 1, index, range(40)) for index in range(20)]).flatten()
    assert many.min() >= 0
    assert many.max() < 1
    assert kstest(many.numpy(), "uniform").pvalue > 1e-4
    noise = torch.cat([gaussian((50,), 1, index, range(40), 1.0) for index in range(20)]).flatten().double()
    assert abs(float(torch.corrcoef(torch.stack([many, noise]))[0, 1])) < 5 / len(many) ** 0.5
    bits = np.random.Philox(key=np.array([1, 0], dtype=np.uint64), counter=np.array([0, 0, 0, 0], dtype=np.uint64))
    assert not np.allclose(np.random.Generator(bits).random(50), uniform(50, 1, 0, [0])[0])


def test_purposes_share_no_bits():
    """Certificates need noise and decoding to be independent, so no number may be made of another's bits."""
    assert len({PIXELS, GRID, GRID_LATER, DECODING}) == 4
    decoding = uniform(4000, 7, 9, range(3)).numpy()
    noise = grid_noise((16000,), 7, 9, range(3), 0.25).reshape(3, 4000, 4)
    for lane in range(4):
        assert abs(np.corrcoef(decoding.ravel(), noise[:, :, lane].ravel())[0, 1]) < 5 / decoding.size**0.5
    whole = gaussian((8000,), 7, 9, range(3), 1.0).numpy().reshape(3, 2, 4000)
    for half in (0, 1):
        assert abs(np.corrcoef(decoding.ravel(), whole[:, half].ravel())[0, 1]) < 5 / decoding.size**0.5
        for lane in range(4):
            assert abs(np.corrcoef(noise[:, :, lane].ravel(), whole[:, half].ravel())[0, 1]) < 5 / decoding.size**0.5
