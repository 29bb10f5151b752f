from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest, norm

from hrvlm.certificates import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    minimal_samples,
    radius_ceiling,
    smoothing_radius,
)
from hrvlm.certificates.statistics.binomial import clopper_pearson_interval


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 20), (20, 20), (480, 501)])
def test_the_interval_is_scipys(k, n):
    exact = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson_interval(k, n, 0.05) == pytest.approx((exact.low, exact.high), abs=1e-9)


def upper_tail(k: int, n: int, p: float) -> mpmath.mpf:
    """P(Bin(n, p) >= k) as a plain sum in 40 digits."""
    with mpmath.workdps(40):
        p = mpmath.mpf(p)
        return mpmath.fsum(mpmath.binomial(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def upper_tail_of_few(k: int, n: int, p: float) -> mpmath.mpf:
    """P(Bin(n, p) > k) by the few terms that are left out."""
    with mpmath.workdps(40):
        p = mpmath.mpf(p)
        return 1 - mpmath.fsum(mpmath.binomial(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 30), (17, 30), (30, 30), (90, 100), (990, 1000), (1, 1000)])
@pytest.mark.parametrize("alpha", [0.3, 1e-3, 1e-7])
def test_bounds_invert_the_binomial_sum(k, n, alpha):
    assert float(upper_tail(k, n, clopper_pearson_lower(k, n, alpha))) == pytest.approx(alpha, rel=1e-9)
    mirrored = 1 - float(clopper_pearson_upper(n - k, n, alpha))
    # Upper bounds are rounded up, by more than lower ones are rounded down.
    assert 0 <= clopper_pearson_lower(k, n, alpha) - mirrored < 3e-10


@pytest.mark.parametrize("alpha", [0.3, 1e-3, 1e-7])
def test_bounds_of_many_trials_are_rounded_against_the_claim(alpha):
    """Few successes or failures of up to a million: sums of few terms are exact enough in 40 digits."""
    for k, n in [(0, 100_000), (2, 100_000), (10, 1_000_000), (2, 1_000_000)]:
        upper, lower = clopper_pearson_upper(k, n, alpha), clopper_pearson_lower(n - k, n, alpha)
        with mpmath.workdps(40):
            assert (
                1 - upper_tail_of_few(k, n, upper) < mpmath.mpf(alpha) < 1 - upper_tail_of_few(k, n, upper * (1 - 3e-9))
            )
            failures = 1 - mpmath.mpf(lower)
            assert 1 - upper_tail_of_few(k, n, failures) < mpmath.mpf(alpha)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 30), (30, 30), (90, 100), (612, 1000), (1000, 1000)])
@pytest.mark.parametrize("alpha", [0.3, 1e-3, 1e-7])
def test_bounds_and_radii_are_rounded_against_the_claim(k, n, alpha):
    """Compared in 40 digits; a last digit may never add to what is claimed, nor many digits be given away."""
    lower, upper = clopper_pearson_lower(k, n, alpha), clopper_pearson_upper(n - k, n, alpha)
    with mpmath.workdps(40):
        assert upper_tail(k, n, lower) < mpmath.mpf(alpha) < upper_tail(k, n, lower * (1 + 1e-12))
        assert 1 - mpmath.mpf(upper) < lower * (1 + mpmath.mpf(1e-12))
        if n > k:
            below = 1 - upper_tail(n - k + 1, n, upper)
            assert below < mpmath.mpf(alpha) < 1 - upper_tail(n - k + 1, n, upper * (1 - 3e-9))
        for threshold in (0.5, 0.25, lower * (1 - 1e-6)):
            radius = smoothing_radius(k, n, alpha, 0.25, threshold=threshold)
            high, low = (mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1) for p in (lower, threshold))
            exact = (high - low) / 4
            assert radius == 0 if lower <= threshold else exact * (1 - mpmath.mpf(1e-4)) < radius < exact


def test_bounds_agree_with_the_exact_two_sided_interval():
    for k, n, alpha in [(3, 10, 0.025), (0, 50, 0.001), (50, 50, 0.001), (612, 1000, 0.0005)]:
        interval = binomtest(k, n).proportion_ci(1 - 2 * alpha, method="exact")
        if k > 0:
            assert clopper_pearson_lower(k, n, alpha) == pytest.approx(interval.low, rel=1e-9)
        if k < n:
            assert clopper_pearson_upper(k, n, alpha) == pytest.approx(interval.high, rel=1e-9)
    assert clopper_pearson_lower(0, 50, 0.001) == 0.0
    assert clopper_pearson_upper(50, 50, 0.001) == 1.0


def test_published_values():
    """Values of the smoothing specification: counts, alpha, and radius in units of sigma."""
    assert clopper_pearson_lower(990, 1000, 1e-3) == pytest.approx(0.97603619, abs=5e-9)
    assert smoothing_radius(990, 1000, 1e-3, 1.0) == pytest.approx(1.97801, abs=5e-6)
    assert clopper_pearson_lower(100, 100, 1e-3) == pytest.approx(0.93325430, abs=5e-9)
    assert smoothing_radius(100, 100, 1e-3, 1.0) == pytest.approx(1.50048, abs=6e-6)
    assert clopper_pearson_upper(3, 300, 5e-4) == pytest.approx(0.04560857, abs=5e-9)
    assert clopper_pearson_upper(0, 300, 5e-4) == pytest.approx(0.0250, abs=5e-5)
    assert clopper_pearson_lower(700, 1000, 5e-4) == pytest.approx(0.65042, abs=5e-6)
    assert clopper_pearson_upper(100, 1000, 5e-4) == pytest.approx(0.13477, abs=5e-6)
    assert clopper_pearson_lower(90, 100, 1e-3) == pytest.approx(0.775330, abs=5e-7)
    ceilings = radius_ceiling([100, 1000, 10_000, 100_000], 1e-3, 0.25)
    np.testing.assert_allclose(ceilings, [0.38, 0.62, 0.80, 0.95], atol=5e-3)
    radii = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    assert [minimal_samples(r, 1e-3, 1.0) for r in radii] == [19, 40, 100, 301, 1109, 5114]


@pytest.mark.parametrize(("n", "alpha"), [(20, 0.05), (100, 0.01), (300, 0.001)])
def test_exact_coverage(n, alpha):
    """Summed over all counts, the bounds are wrong at most at alpha for every p, and nearly so for some p."""
    k = np.arange(n + 1)
    lower, upper = clopper_pearson_lower(k, n, alpha), clopper_pearson_upper(k, n, alpha)
    p = np.concatenate([np.linspace(0.001, 0.999, 997), lower[1:] - 1e-9])[:, None]
    mass = binom.pmf(k, n, p)
    wrong_lower, wrong_upper = (mass * (lower > p)).sum(1), (mass * (upper < p)).sum(1)
    assert wrong_lower.max() <= alpha * (1 + 1e-9)
    assert wrong_upper.max() <= alpha * (1 + 1e-9)
    assert wrong_lower.max() > 0.99 * alpha


def test_radius_and_its_ceiling():
    n, alpha, sigma = 500, 1e-3, 0.3
    k = np.arange(n + 1)
    radius, lower = smoothing_radius(k, n, alpha, sigma), clopper_pearson_lower(k, n, alpha)
    assert (np.diff(radius) >= 0).all()
    assert (radius[lower <= 0.5] == 0).all()
    np.testing.assert_allclose(radius[lower > 0.5], sigma * norm.ppf(lower[lower > 0.5]), rtol=1e-12)
    assert radius.max() == pytest.approx(radius_ceiling(n, alpha, sigma), rel=1e-12)
    assert radius_ceiling(3, 0.2, sigma) > 0
    assert radius_ceiling(2, 0.3, sigma) > 0
    assert radius_ceiling(2, 0.2, sigma) == 0.0


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-3, 1e-9])
def test_minimal_samples_is_least(alpha):
    for sigma, radius in [(0.25, 0.1), (0.25, 0.7), (1.0, 0.0), (0.5, 1.9)]:
        n = minimal_samples(radius, alpha, sigma)
        assert clopper_pearson_lower(n, n, alpha) > 0.5
        assert radius_ceiling(n, alpha, sigma) >= radius * (1 - 1e-12)
        if n > 1:
            assert radius_ceiling(n - 1, alpha, sigma) < radius or clopper_pearson_lower(n - 1, n - 1, alpha) <= 0.5


def test_arrays_tensors_and_numbers():
    tensor = clopper_pearson_lower(torch.tensor([5, 9]), 10, 0.01)
    assert isinstance(clopper_pearson_lower(5, 10, 0.01), float)
    assert tensor.tolist() == [clopper_pearson_lower(5, 10, 0.01), clopper_pearson_lower(9, 10, 0.01)]
    assert smoothing_radius([[9], [10]], [10, 20], 0.01, 1.0).shape == (2, 2)


def test_errors_say_what_was_expected():
    for k, n in [(-1, 10), (11, 10), (0, 0)]:
        with pytest.raises(ValueError, match="expected 0 <= successes <= trials"):
            clopper_pearson_lower(k, n, 0.1)
    with pytest.raises(ValueError, match="expected successes as integers"):
        clopper_pearson_upper(0.5, 10, 0.1)
    for alpha in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="expected alpha"):
            smoothing_radius(5, 10, alpha, 1.0)
    for sigma in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected sigma"):
            radius_ceiling(10, 0.1, sigma)
    with pytest.raises(ValueError, match="expected radius >= 0"):
        minimal_samples(-1.0, 0.1, 1.0)
    with pytest.raises(ValueError, match="use a larger sigma"):
        minimal_samples(50.0, 0.1, 1.0)
