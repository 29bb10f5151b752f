"""Monte Carlo: joint claims are false at most as often as alpha says, where that is hardest; broken ones are caught."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm
from sweeps import sweep

from hrvlm.certificates import ExtentGrid, at_least, extent_at_radius, needed_count, radius_at_extent
from hrvlm.certificates.statistics.means import betting_lower, betting_upper

RUNS, SIGMA = 20_000, 0.5
GRID = ExtentGrid("target", 16)


def allowed(alpha: float, runs: int = RUNS) -> float:
    """A share of false claims that a valid procedure exceeds with probability below 1e-4."""
    return float(binom.ppf(1 - 1e-4, runs, alpha)) / runs


def histograms(rng: np.random.Generator, n: int, radius: float, step: int = 9) -> np.ndarray:
    """Counts `(RUNS, 17)` of extents whose chance to reach `step` is exactly what a certified radius must exceed."""
    p = norm.cdf(radius / SIGMA)
    law = np.zeros(18)  # the last entry: another label
    law[step], law[step - 1 :: -1], law[17] = p, (1 - p) * 0.6 / step, (1 - p) * 0.4
    return rng.multinomial(n, law, RUNS)[:, :17]


def share_false(claims: list[float | None], truth: float) -> float:
    return float(np.mean([claim is not None and claim > truth for claim in claims]))


@pytest.mark.parametrize("radius", sweep([0.0, 0.25, 0.75], quick=[0.25]))
def test_extents_at_a_radius_are_false_at_most_at_alpha(radius):
    n, alpha = 150, 0.05
    found = histograms(np.random.default_rng(3), n, radius)
    claims = [extent_at_radius(h, n, alpha, radius, SIGMA, GRID) for h in found]
    share = share_false(claims, GRID.edges[8])
    assert share <= allowed(alpha)
    exact = binom.sf(needed_count(n, alpha, radius, SIGMA) - 1, n, norm.cdf(radius / SIGMA))
    assert abs(share - exact) < 5 * np.sqrt(exact / RUNS)  # nothing is wasted either


@pytest.mark.parametrize("probability", [0.55, 0.7, 0.95])
def test_radii_at_an_extent_are_false_at_most_at_alpha(probability):
    n, alpha, truth = 150, 0.05, SIGMA * norm.ppf(probability)
    counts = np.random.default_rng(4).binomial(n, probability, RUNS)
    radius = {}
    for count in np.unique(counts):
        histogram = np.zeros(17, dtype=np.int64)
        histogram[12], histogram[3] = count, n - count
        radius[count] = radius_at_extent(histogram, n, alpha, GRID.edges[12], SIGMA, GRID)
    share = np.mean([radius[count] > truth for count in counts])
    assert 0.3 * alpha < share <= allowed(alpha)


def test_the_claim_is_tight_for_a_classifier_that_depends_on_one_direction():
    # The extent grows with t = <a, x>, so the image at -radius along a is the worst: its median extent is the truth.
    n, alpha, radius, t, rng = 60, 0.05, 0.4, 0.3, np.random.default_rng(5)
    grid = ExtentGrid("target", 4096)

    def extent(u: np.ndarray) -> np.ndarray:
        return norm.cdf(u)

    claims = []
    for start in range(0, RUNS, 2000):
        noisy = extent(t + SIGMA * rng.standard_normal((2000, n)))
        claims += [extent_at_radius(grid.count(torch.from_numpy(row)), n, alpha, radius, SIGMA, grid) for row in noisy]
        assert len(claims) == start + 2000
    share = share_false(claims, float(extent(np.array(t - radius))))
    exact = binom.sf(needed_count(n, alpha, radius, SIGMA) - 1, n, norm.cdf(radius / SIGMA))
    assert share <= allowed(alpha)
    assert share > 0.8 * exact


def test_several_statements_of_an_image_share_alpha():
    n, alpha, radii = 150, 0.05, (0.1, 0.3, 0.5, 0.7)
    rng = np.random.default_rng(6)
    wrong, careless = np.zeros(RUNS, dtype=bool), np.zeros(RUNS, dtype=bool)
    for radius in radii:  # independent levels are the hardest for a union bound
        found = histograms(rng, n, radius)
        reach = np.array([at_least(h)[9] for h in found])
        wrong |= reach >= needed_count(n, alpha / len(radii), radius, SIGMA)
        careless |= reach >= needed_count(n, alpha, radius, SIGMA)
    assert wrong.mean() <= allowed(alpha)
    assert careless.mean() > allowed(alpha)  # full alpha for each statement is caught


def test_broken_variants_are_caught():
    n, alpha, radius = 150, 0.05, 0.25
    found = histograms(np.random.default_rng(7), n, radius)
    plain = at_least(np.ascontiguousarray(found.sum(axis=0)))
    assert plain[9] / (n * RUNS) == pytest.approx(norm.cdf(radius / SIGMA), abs=2e-3)
    reach = np.array([at_least(h)[9] for h in found])
    optimistic = reach >= n * norm.cdf(radius / SIGMA)  # the share itself, without a bound
    assert optimistic.mean() > allowed(alpha)
    rounded_up = [extent_at_radius(np.roll(h, 1), n, alpha, radius, SIGMA, GRID) for h in found[:2000]]
    assert share_false(rounded_up, GRID.edges[8]) > allowed(alpha, 2000)
    # Two classes of one half each: choosing and counting on the same samples at full alpha.
    first = np.random.default_rng(8).binomial(n, 0.5, RUNS)
    same = np.maximum(first, n - first) >= needed_count(n, alpha, 0.0, SIGMA)
    fresh = first >= needed_count(n, alpha, 0.0, SIGMA)
    assert same.mean() > allowed(alpha)
    assert fresh.mean() <= allowed(alpha)


LAWS = {
    "fair coin": lambda rng, shape: (rng.random(shape) < 0.5).astype(float),
    "rare": lambda rng, shape: (rng.random(shape) < 0.03).astype(float),
    "narrow": lambda rng, shape: 0.55 + 0.02 * np.clip(rng.standard_normal(shape), -3, 3),
    "skewed": lambda rng, shape: rng.beta(0.3, 3, shape),
}
MEANS = {"fair coin": 0.5, "rare": 0.03, "narrow": 0.55, "skewed": 0.3 / 3.3}


@pytest.mark.parametrize("law", sweep(LAWS, quick=("skewed",)))
def test_bounds_on_means_are_false_at_most_at_alpha(law):
    n, alpha = 50, 0.05
    values = LAWS[law](np.random.default_rng(9), (n, RUNS))
    assert (betting_lower(values, alpha) > MEANS[law]).mean() <= allowed(alpha)
    assert (betting_upper(values, alpha) < MEANS[law]).mean() <= allowed(alpha)


def test_the_normal_approximation_of_means_is_caught():
    values = LAWS["rare"](np.random.default_rng(9), (50, RUNS))
    upper = values.mean(axis=0) + norm.isf(0.05) * values.std(axis=0) / np.sqrt(50)
    assert (upper < MEANS["rare"]).mean() > allowed(0.05)


def test_bounds_on_means_are_close():
    rng = np.random.default_rng(10)
    for spread, expected in ((0.02, 0.545), (0.05, 0.544), (0.15, 0.532)):
        values = np.clip(rng.normal(0.55, spread, (1000, 200)), 0, 1)
        assert np.median(betting_lower(values, 1e-3)) == pytest.approx(expected, abs=0.0025)
