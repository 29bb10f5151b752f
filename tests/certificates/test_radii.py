from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.stats import binom, norm

from hrvlm.certificates import clopper_pearson_lower, clopper_pearson_upper, radius_ceiling, smoothing_radius
from hrvlm.certificates.statistics.binomial import minimal_samples, threshold_radius
from hrvlm.certificates.statistics.radii import (
    least_count,
    operational_threshold,
    radius_between,
    radius_probability,
    two_bound_radius,
)


def test_published_values():
    """Values of the smoothing specification, in units of sigma."""
    assert two_bound_radius(700, 100, 1000, 1e-3, 1.0) == pytest.approx(0.74528, abs=5e-6)
    assert operational_threshold(101, 1e-3) == pytest.approx(0.6498, abs=5e-5)
    costs = {(1, 0.05): 1.645, (11, 0.05): 0.609, (101, 0.05): 0.205, (101, 1e-3): 0.385, (1001, 1e-3): 0.122}
    for (votes, error), cost in costs.items():
        assert norm.ppf(operational_threshold(votes, error)) == pytest.approx(cost, abs=6e-4)
    assert [least_count(1000, 1e-3, norm.cdf(r)) for r in (0.5, 1.0)] == [737, 877]


@pytest.mark.parametrize("tau", [0.2, 0.5, 0.9])
def test_thresholds_move_the_radius_by_their_quantile(tau):
    n, alpha, sigma = 400, 0.01, 0.3
    counts = np.arange(n + 1)
    lower = clopper_pearson_lower(counts, n, alpha)
    radius = smoothing_radius(counts, n, alpha, sigma, threshold=tau)
    assert (radius[lower <= tau] == 0).all()
    sure = lower > tau
    expected = sigma * (norm.ppf(lower[sure]) - norm.ppf(tau))
    assert (radius[sure] <= expected).all()
    np.testing.assert_allclose(radius[sure], expected, rtol=0, atol=1e-12 * sigma)
    np.testing.assert_array_equal(radius, threshold_radius(lower, sigma, threshold=tau))
    assert radius.max() == pytest.approx(radius_ceiling(n, alpha, sigma, threshold=tau), rel=1e-12)
    least = minimal_samples(0.4, alpha, sigma, threshold=tau)
    ceilings = radius_ceiling([least - 1, least], alpha, sigma, threshold=tau)
    assert ceilings[0] < 0.4 <= ceilings[1] * (1 + 1e-12)


def test_half_spaces_attain_the_threshold_radius():
    """A half-space at distance d along the noise: the class keeps the threshold up to the radius and not beyond."""
    sigma, tau = 0.25, 0.8
    share = 0.97
    radius = threshold_radius(share, sigma, threshold=tau)
    margin = sigma * norm.ppf(share)
    assert norm.cdf((margin - radius) / sigma) == pytest.approx(tau, rel=1e-12)
    assert float(radius_probability(radius, sigma, threshold=tau)) == pytest.approx(share, rel=1e-12)


def test_two_bounds_are_never_below_one_and_need_no_majority():
    rng = np.random.default_rng(0)
    low, high = rng.uniform(0, 0.999, 5000), rng.uniform(1e-6, 1, 5000)
    radius = radius_between(low, high, 0.5)
    one = threshold_radius(low, 0.5)
    assert (radius >= one * (1 - 1e-12)).all()
    assert ((radius > 0) == (low > np.minimum(high, 1 - low))).all()
    wide = high >= 1 - low
    np.testing.assert_allclose(radius[wide], one[wide], rtol=1e-12)
    assert radius_between(0.45, 0.1, 1.0) == pytest.approx((norm.ppf(0.45) - norm.ppf(0.1)) / 2)
    with mpmath.workdps(40):
        exact = [mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1) for p in (0.7, 0.02)]
    assert radius_between(0.7, 0.02, 2.0) == pytest.approx(float(exact[0] - exact[1]), rel=1e-13)


def test_two_half_spaces_attain_the_two_bound_radius():
    """Class where the noise is below one plane, rival above another: they tie exactly at the radius."""
    low, high, sigma = 0.6, 0.05, 0.7
    radius = radius_between(low, high, sigma)
    moved = norm.cdf(norm.ppf(low) - radius / sigma), norm.cdf(norm.ppf(high) + radius / sigma)
    assert moved[0] == pytest.approx(moved[1], rel=1e-12)


@pytest.mark.parametrize("p", [(0.5, 0.3, 0.2), (0.4, 0.2, 0.2, 0.2), (0.55, 0.05, 0.4)])
def test_two_bound_statements_are_false_at_most_at_alpha(p):
    """The claim is the radius of the true probabilities at most; the class is chosen from samples of its own."""
    rng, alpha, n, runs = np.random.default_rng(1), 0.1, 200, 40_000
    chosen = rng.multinomial(15, p, runs).argmax(1)
    counts = rng.multinomial(n, p, runs)
    own = counts[np.arange(runs), chosen]
    others = counts.copy()
    others[np.arange(runs), chosen] = 0
    radius = two_bound_radius(own, others.max(1), n, alpha, 1.0)
    true = np.array([radius_between(p[c], max(q for j, q in enumerate(p) if j != c), 1.0) for c in range(len(p))])
    assert (radius > true[chosen] + 1e-12).sum() <= binom.ppf(0.9999, runs, alpha)
    assert (radius > 0).mean() > 0.2


def test_no_split_at_half_alpha_holds_and_at_full_alpha_fails():
    """Exact enumeration, two classes: choosing and counting on the same samples doubles the error near a tie."""
    n, alpha = 100, 0.05
    worst = {1.0: 0.0, 0.5: 0.0}
    counts = np.arange(n + 1)
    for share in worst:
        top = np.maximum(counts, n - counts)
        lower = clopper_pearson_lower(top, n, alpha * share)
        for p in np.linspace(0.5, 0.75, 101):
            truth = np.where(counts >= n - counts, p, 1 - p)
            false = (lower > 0.5) & (lower > truth)
            worst[share] = max(worst[share], float(binom.pmf(counts, n, p)[false].sum()))
    assert worst[0.5] <= alpha
    assert worst[1.0] > 1.5 * alpha


@pytest.mark.parametrize("classes", [3, 8])
def test_no_split_over_many_classes(classes):
    rng, n, alpha, runs = np.random.default_rng(2), 120, 0.05, 20_000
    for top in (1 / classes, 0.45, 0.5, 0.51):
        p = np.full(classes, (1 - top) / (classes - 1))
        p[0] = top
        counts = rng.multinomial(n, p, runs)
        chosen = counts.argmax(1)
        lower = clopper_pearson_lower(counts.max(1), n, alpha / 2)
        false = (lower > 0.5) & (lower > p[chosen])
        assert false.sum() <= binom.ppf(0.9999, runs, alpha)


def test_operational_threshold_is_the_least_probability_at_which_votes_are_right():
    for votes, error in [(1, 0.05), (2, 0.3), (10, 0.05), (11, 0.05), (101, 1e-3), (1000, 1e-6)]:
        tau = operational_threshold(votes, error)
        assert binom.sf(votes // 2, votes, tau) == pytest.approx(1 - error, rel=1e-9)
        assert binom.sf(votes // 2, votes, tau - 1e-4) < 1 - error
    assert 0.5 <= operational_threshold(1, 0.5) < 0.5 + 3e-10  # rounded up
    assert operational_threshold(10**9, 0.01) < 0.5001


def test_deployed_votes_are_right_within_the_operational_radius():
    """A half-space at the certified radius, attacked by its full length: votes of 21 err at most at 5 percent."""
    rng, runs, votes, sigma = np.random.default_rng(3), 40_000, 21, 0.25
    tau = operational_threshold(votes, 0.05)
    share = 0.99
    radius = threshold_radius(share, sigma, threshold=tau)
    attacked = norm.cdf((sigma * norm.ppf(share) - radius) / sigma)
    wrong = rng.binomial(votes, attacked, runs) <= votes // 2
    assert wrong.sum() <= binom.ppf(0.9999, runs, 0.05)
    plain = norm.cdf((sigma * norm.ppf(share) - threshold_radius(share, sigma)) / sigma)
    assert (rng.binomial(votes, plain, runs) <= votes // 2).mean() > 0.4


def test_least_count_is_least():
    for n, alpha, p in [(1, 0.3, 0.2), (50, 0.01, 0.5), (200, 1e-3, 0.9), (20, 1e-3, 0.9)]:
        count = least_count(n, alpha, p)
        assert count == n + 1 or binom.sf(count - 1, n, p) <= alpha
        assert binom.sf(count - 2, n, p) > alpha
        sure = clopper_pearson_lower(np.arange(n + 1), n, alpha) >= p * (1 - 1e-12)
        assert sure.sum() == n + 1 - count


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="expected successes \\+ runner_up <= trials"):
        two_bound_radius(7, 4, 10, 0.1, 1.0)
    for low, high in [(1.0, 0.1), (-0.1, 0.1), (0.5, 0.0), (0.5, float("nan"))]:
        with pytest.raises(ValueError, match="expected lower bounds"):
            radius_between(low, high, 1.0)
    with pytest.raises(ValueError, match="expected lower bounds"):
        threshold_radius(1.0, 1.0)
    for votes, error in [(0, 0.1), (3, 0.0), (3, 0.6)]:
        with pytest.raises(ValueError, match="expected votes"):
            operational_threshold(votes, error)
    for tau in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="expected threshold"):
            smoothing_radius(5, 10, 0.1, 1.0, threshold=tau)
    with pytest.raises(ValueError, match="expected trials"):
        least_count(0, 0.1, 0.5)
    with pytest.raises(ValueError, match="expected sigma"):
        radius_between(0.7, 0.1, 0.0)
    assert clopper_pearson_upper(3, 10, 0.1) > 0.3
