from __future__ import annotations

import math
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from hrvlm.certificates import fill_gaussian, gaussian
from hrvlm.certificates.noise.gaussian import DECODING, GRID, GRID_LATER, PIXELS, uniform
from hrvlm.certificates.noise.grid import _table, grid_noise
from hrvlm.certificates.noise.kernels import CHUNK, LANE, _distances, _turn
from hrvlm.certificates.noise.philox import random_words
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.sampling.plan import SmoothingPlan
from hrvlm.evaluation.sample_plan import PlanSettings

noise_module, grid_module = (import_module(f"hrvlm.certificates.noise.{name}") for name in ("gaussian", "grid"))
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


def transformed(words: np.ndarray) -> list[float]:
    """The transform of Box and Muller in Python's double precision, number by number, of rows of so many words."""
    found = []
    for chunk in words.reshape(-1, 4, LANE):
        for distances, angles in (chunk[:2], chunk[2:]):
            polar = [
                (math.sqrt(-2 * math.log((int(one) // 2 + 0.5) / 2**31)), 2 * math.pi * int(other) / 2**32)
                for one, other in zip(distances, angles, strict=True)
            ]
            found += [length * math.cos(angle) for length, angle in polar]
            found += [length * math.sin(angle) for length, angle in polar]
    return found


@pytest.mark.parametrize("size", [1, 5, CHUNK, 3 * CHUNK + 300])
def test_each_draw_is_made_of_words_of_its_own(size: int):
    draws = [4, 0, 2**64 - 1, 4]
    rows = gaussian((size,), 7, 9, draws, 1.0)
    words = random_words(CHUNK * 4, 7, 9, draws, PIXELS)
    decoding = random_words(8, 7, 9, draws, DECODING).reshape(4, 4, 2)
    for row, own in zip(rows, words, strict=True):
        assert row.tolist() == pytest.approx(transformed(own)[:size], abs=3e-6, rel=2e-6)
    for numbers, own in zip(uniform(4, 7, 9, draws).tolist(), decoding.tolist(), strict=True):
        assert numbers == [((high >> 5) * 2**26 + (low >> 6)) / 2**53 for high, low in own]


def test_every_distance_and_angle_is_that_of_double_precision():
    """Words at and about every power of two, and where the pieces of the approximations meet."""
    edges = [0, 2**32 - 1, *(2**k + d for k in range(1, 32) for d in (-1, 0, 1))]
    edges += [int(2**32 * share) + d for share in (1 / 8, 3 / 8, 5 / 8, 7 / 8, 0.5**0.5, 0.5**1.5) for d in (-1, 0, 1)]
    generator = np.random.Generator(np.random.PCG64(0))
    words = np.array([*edges, *generator.integers(0, 2**32, 100_000)], dtype=np.uint32)
    radii = np.empty(len(words), dtype=np.float32)
    _distances(words, radii)
    exact = np.sqrt(-2 * np.log(((words >> 1) + 0.5) / 2.0**31))
    # A word next to 2^32 has a logarithm near zero, to which float32 adds errors of 2^-24.
    np.testing.assert_allclose(radii.astype(float) ** 2, exact**2, rtol=3e-7, atol=1.3e-7)
    assert np.isfinite(radii).all()
    assert radii.max() == radii[0] > 6.6
    assert radii.max() < 6.7
    first, second = np.ones_like(radii), np.empty_like(radii)
    _turn(words, first, second)
    angles = words * (2 * math.pi / 2**32)
    np.testing.assert_allclose(first, np.cos(angles), rtol=0, atol=2e-7)
    np.testing.assert_allclose(second, np.sin(angles), rtol=0, atol=2e-7)


def test_a_mean_is_added():
    mean = torch.rand(3, 30, 29, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert mean.numel() > 2 * CHUNK
    noisy = torch.empty(4, 3, 30, 29)
    for given in (mean, mean.permute(2, 1, 0).contiguous().permute(2, 1, 0)):  # whatever its layout
        fill_gaussian(noisy, 7, 123, range(4), 0.5, given)
        assert torch.equal(noisy, gaussian((3, 30, 29), 7, 123, range(4), 0.5) + mean.float())
    with pytest.raises(ValueError, match="expected a mean of shape"):
        fill_gaussian(noisy, 7, 123, range(4), 0.5, mean[:, :, :1])


@pytest.mark.slow
def test_another_process_draws_the_same():
    code = (
        "from hrvlm.certificates import gaussian, grid_noise\n"
        "print(gaussian((5,), 9, 8, [70, 2], 1.5).tolist())\n"
        "print(grid_noise((5,), 9, 8, [70, 2], 0.5).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    expected = [gaussian((5,), 9, 8, [70, 2], 1.5).tolist(), grid_noise((5,), 9, 8, [70, 2], 0.5).tolist()]
    assert printed.splitlines() == [str(numbers) for numbers in expected]


def test_moments_and_distribution():
    noise = gaussian((3, 64, 64), 3, 1, range(60), 0.25).double()
    count = noise.numel()
    assert noise.dtype == torch.float64
    z = noise / 0.25
    for power, mean, deviation in [(1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)]:
        assert abs(float(z.pow(power).mean()) - mean) < 5 * deviation / count**0.5
    assert kstest(z.flatten().numpy(), "norm").pvalue > 1e-4
    first, second = z.reshape(-1, 2, LANE).unbind(dim=1)  # of the pairs that are made of the same words
    assert kstest((first.square() + second.square()).flatten().numpy(), "chi2", (2,)).pvalue > 1e-4
    assert kstest(torch.atan2(second, first).flatten().numpy() / (2 * math.pi) + 0.5, "uniform").pvalue > 1e-4
    tails = (z.abs() > 4).sum()
    assert 20 < tails < 80  # 46.7 expected of 737,280


def test_addresses_are_uncorrelated():
    size = 4096
    addresses = [(s, i, d) for s in (0, 1, 2**40) for i in (0, 1, 2, 2**31) for d in (0, 1, 2, 1000)]
    rows = torch.cat([gaussian((size,), s, i, [d], 1.0) for s, i, d in addresses]).double()
    correlation = rows @ rows.T / size - torch.eye(len(rows), dtype=torch.float64)
    off = correlation - torch.diag(correlation.diagonal())
    assert off.abs().max() < 6 / size**0.5
    shifted = (rows[:, :-1] @ rows[:, 1:].T) / size
    assert shifted.abs().max() < 6 / size**0.5


def test_extreme_addresses():
    top, far = 2**64 - 1, 2**32 - 1
    rows = [gaussian((64,), s, i, [d], 1.0) for s, i, d in [(top, 0, 0), (0, far, 0), (0, 0, top), (top, far, top)]]
    rows.append(gaussian((64,), 0, 0, [0], 1.0))
    assert torch.cat(rows).isfinite().all()
    assert len({tuple(row.flatten().tolist()) for row in rows}) == 5
    for name, arguments in {"seed": (-1, 0, [0]), "index": (0, 2**32, [0]), "draw": (0, 0, [-3])}.items():
        with pytest.raises(ValueError, match=f"expected {name} as an integer in"):
            gaussian((4,), *arguments, 1.0)


def test_scale_and_errors():
    assert torch.equal(gaussian((8,), 1, 1, [4], 0.0), torch.zeros(1, 8))
    assert gaussian((8,), 1, 1, [], 1.0).shape == (0, 8)
    torch.testing.assert_close(gaussian((8,), 1, 1, [4], 2.0), 2 * gaussian((8,), 1, 1, [4], 1.0))
    for sigma in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected sigma"):
            gaussian((8,), 1, 1, [4], sigma)
    with torch.device("meta"):  # whatever a user's defaults are
        made = torch.empty(1, 8, device="cpu")
        fill_gaussian(made, 1, 1, [4], 2.0)
    assert torch.equal(made, gaussian((8,), 1, 1, [4], 2.0))
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


def test_purposes_share_no_bits(monkeypatch: pytest.MonkeyPatch):
    """Certificates need noise and decoding to be independent, so no number may be made of another's bits."""
    streams = [random_words(4 * CHUNK, 7, 9, [3], stream)[0] for stream in (PIXELS, GRID, GRID_LATER, DECODING)]
    assert len(np.unique(np.concatenate(streams))) > 16 * CHUNK - 5  # 0.03 pairs are equal by chance
    seen = []
    for module in (noise_module, grid_module):
        monkeypatch.setattr(
            module, "random_words", lambda *given: seen.append(given[-1]) or random_words(*given), raising=True
        )
    gaussian((5,), 7, 9, [3], 1.0)
    uniform(5, 7, 9, [3])
    grid_noise((20_000,), 7, 9, [3], 0.25)
    assert seen == [DECODING, GRID_LATER]
    # The Gaussian's words and those that grid noise looks up first are asked for in compiled code.
    ours, theirs = random_words(CHUNK, 7, 9, [3], PIXELS)[0], random_words(2 * CHUNK, 7, 9, [3], GRID)[0]
    radii = np.empty(LANE, dtype=np.float32)
    _distances(ours[:LANE], radii)
    pairs = gaussian((2 * LANE,), 7, 9, [3], 1.0).reshape(2, LANE).double().square().sum(dim=0).sqrt()
    assert pairs.tolist() == pytest.approx(radii.tolist(), rel=1e-6)
    settled = grid_noise((4 * CHUNK,), 7, 9, [3], 0.25)[0]
    guide = _table(0.25).guide[theirs.astype("<u4").view("<u2")]
    assert (settled[guide < 1000] == guide[guide < 1000]).all()


@pytest.mark.parametrize("sigma", [25.0, 8.0, 2.001, 1e300, 9e-5, 1e-7, 0.0, -0.1, float("nan"), float("inf")])
def test_a_sigma_that_pixels_cannot_have_is_refused(sigma):
    for made in (SmoothingPlan, CertificationPlan, PlanSettings):
        with pytest.raises(ValueError, match=r"in pixel units of \[0, 1\]") as refused:
            made(sigma=sigma)
        assert (f"write {sigma:g}/255" in str(refused.value)) == (2 < sigma < 256)
        for accepted in (1e-4, 0.25, 2.0):
            assert made(sigma=accepted).sigma == accepted


def test_noise_that_is_accepted_is_finite():
    for sigma in (2.0, 1e36):
        assert gaussian((3000,), 1, 1, range(200), sigma).isfinite().all()
    with pytest.raises(ValueError, match="finite in float32"):
        gaussian((8,), 1, 1, [4], 1e38)
