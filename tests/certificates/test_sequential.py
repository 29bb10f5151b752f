from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from hrvlm.certificates import clopper_pearson_lower, clopper_pearson_upper
from hrvlm.certificates.statistics.anytime import (
    anytime_lower,
    anytime_upper,
    decision_boundaries,
    log_evidence_above,
    log_evidence_below,
    look_times,
)

ONE_SIGMA = norm.cdf(1.0)


def paths(p, runs, length, seed=0):
    """Successes after 1, 2, ... trials, `(runs, length)`."""
    rng = np.random.default_rng(seed)
    return (rng.random((runs, length), dtype=np.float32) < p).cumsum(1, dtype=np.int32)


def test_published_values():
    """Values of the smoothing specification."""
    assert log_evidence_above(90, 100, ONE_SIGMA) == pytest.approx(0.211025, abs=5e-7)
    assert log_evidence_below(60, 100, ONE_SIGMA) == pytest.approx(14.47618, abs=5e-6)
    np.testing.assert_allclose(anytime_lower([90, 990], [100, 1000], 1e-3), [0.736290, 0.971248], atol=5e-7)
    # The two-sided mixture is both sides weighted by the prior.
    above, below = (f(90, 100, ONE_SIGMA) for f in (log_evidence_above, log_evidence_below))
    prior = beta(0.5, 0.5)
    both = prior.sf(ONE_SIGMA) * np.exp(above) + prior.cdf(ONE_SIGMA) * np.exp(below)
    assert np.log(both) == pytest.approx(-1.084078, abs=5e-7)


@pytest.mark.parametrize(("k", "n", "p"), [(0, 3, 0.4), (7, 9, 0.3), (60, 80, 0.6), (80, 80, 0.9)])
def test_evidence_is_the_integral_over_the_other_side(k, n, p):
    with mpmath.workdps(30):

        def weight(q):
            return 1 / mpmath.sqrt(q * (1 - q))

        def ratio(q):
            return weight(q) * (q / p) ** k * ((1 - q) / (1 - p)) ** (n - k)

        above = mpmath.quad(ratio, [p, 0.95, 1]) / mpmath.quad(weight, [p, 0.95, 1])
        below = mpmath.quad(ratio, [0, p / 2, p]) / mpmath.quad(weight, [0, p / 2, p])
    assert log_evidence_above(k, n, p) == pytest.approx(float(mpmath.log(above)), rel=1e-6, abs=1e-6)
    assert log_evidence_below(k, n, p) == pytest.approx(float(mpmath.log(below)), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("p0", [0.5, 0.84, 0.99])
def test_evidence_never_grows_on_average_up_to_the_tested_probability(p0):
    """Exact: the expected factor of the next sample, from every state of up to 60 trials."""
    n, k = (x.ravel() for x in np.meshgrid(np.arange(1, 60), np.arange(60)))
    n, k = n[k <= n], k[k <= n]
    now = log_evidence_above(k, n, p0)
    hit, miss = log_evidence_above(k + 1, n + 1, p0), log_evidence_above(k, n + 1, p0)
    for p in (p0, 0.9 * p0, 0.3):
        factor = p * np.exp(hit - now) + (1 - p) * np.exp(miss - now)
        assert (factor <= 1 + 1e-9).all()
        if p == p0:
            np.testing.assert_allclose(factor, 1, rtol=1e-9)


def test_evidence_rises_with_successes_and_falls_with_the_tested_probability():
    for n in (10, 200, 5000):
        for p in (0.5, 0.9, 0.99):
            counts = np.arange(n + 1)
            counts = counts[beta.sf(p, counts + 0.5, n - counts + 0.5) > 1e-290]  # the rest is below float64
            assert (np.diff(log_evidence_above(counts, n, p)) > 0).all()
    grid = np.linspace(1e-4, 1 - 1e-4, 4000)
    for k, n in [(1, 1), (3, 10), (10, 10), (90, 100), (999, 1000), (5, 1000)]:
        evidence = np.asarray(log_evidence_above(k, n, grid))
        large = evidence >= np.log(1 / 0.19)
        assert large[: large.sum()].all()
        np.testing.assert_allclose(anytime_lower(k, n, 0.19), grid[large].max(initial=0.0), atol=3e-4)


def test_anytime_bounds_mirror_and_are_wider_than_fixed_ones():
    k, n = np.arange(301), 300
    low, high = anytime_lower(k, n, 0.01), anytime_upper(k, n, 0.01)
    np.testing.assert_allclose(high, 1 - low[::-1], rtol=1e-12)
    assert (low <= clopper_pearson_lower(k, n, 0.01)).all()
    assert (high >= clopper_pearson_upper(k, n, 0.01)).all()
    assert (np.diff(low) >= 0).all()
    assert low[0] == 0
    assert (low[1:] < k[1:] / n).all()
    assert anytime_lower(99_000, 100_000, 1e-3) > 0.988


@pytest.mark.parametrize("p", [0.5, 0.8413, 0.95])
def test_bounds_hold_at_all_looks_together(p):
    """20,000 runs at the least favourable point, the tested probability itself; peeking at a fixed bound fails."""
    alpha, looks = 0.05, look_times(400, first=5)
    counts = paths(p, 20_000, 400)[:, looks - 1]
    boundary = decision_boundaries(looks, p, alpha, 0.05)
    wrong = (counts >= boundary.certify).any(1)
    assert wrong.sum() <= binom.ppf(0.9999, len(counts), alpha)
    assert wrong.mean() > 0.15 * alpha  # not idle
    gave_up = (counts <= boundary.give_up).any(1)
    assert gave_up.sum() <= binom.ppf(0.9999, len(counts), 0.05)
    fixed = np.array([binom.isf(alpha, n, p) + 1 for n in looks])  # least count whose exact bound reaches p
    peeking = (counts >= fixed).any(1)
    assert peeking.mean() > 2 * alpha


def test_lower_bounds_of_runs_never_pass_the_truth():
    p, alpha, looks = 0.9, 0.1, look_times(300, first=10)
    counts = paths(p, 20_000, 300, seed=4)[:, looks - 1]
    table = [np.asarray(anytime_lower(np.arange(n + 1), int(n), alpha)) for n in looks]
    bounds = np.stack([bound[count] for bound, count in zip(table, counts.T, strict=True)], axis=1)
    assert (bounds.max(1) > p).sum() <= binom.ppf(0.9999, len(counts), alpha)
    fixed = [np.asarray(clopper_pearson_lower(np.arange(n + 1), int(n), alpha)) for n in looks]
    naive = np.stack([bound[count] for bound, count in zip(fixed, counts.T, strict=True)], axis=1)
    assert (naive.max(1) > p).mean() > 2 * alpha


def sweep_envelope(p, boundary, cap):
    """Exact chances and mean number of trials of a decision looked at after every trial."""
    alive, certified, given_up, trials = np.array([1.0]), 0.0, 0.0, 0.0
    for t in range(1, cap + 1):
        trials += alive.sum()
        grown = np.zeros(t + 1)
        grown[1:] = alive * p
        grown[:-1] += alive * (1 - p)
        up, down = boundary.certify[t - 1], boundary.give_up[t - 1]
        certified += grown[up:].sum()
        given_up += grown[: down + 1].sum()
        grown[up:], grown[: max(0, down + 1)] = 0, 0
        alive = grown
    return certified, given_up, trials


@pytest.mark.parametrize(
    ("offset", "trials", "certified"), [(-0.5, 62, 0.0), (0.5, 201, 0.995), (0.8, 97, 0.999), (1.5, 53, 1.0)]
)
def test_published_cost_of_decisions(offset, trials, certified):
    """Exact dynamic programming: "is the radius at least one sigma?" where it is one sigma + offset."""
    boundary = decision_boundaries(np.arange(1, 1501), ONE_SIGMA, 1e-3, 0.05)
    chance, _, mean = sweep_envelope(norm.cdf(1 + offset), boundary, 1500)
    assert mean == pytest.approx(trials, abs=1)
    assert chance == pytest.approx(certified, abs=6e-4)
    null, _, _ = sweep_envelope(ONE_SIGMA, boundary, 1500)
    assert 1e-4 < null <= 1e-3


def test_first_possible_decisions():
    for radius, first in [(0.5, 22), (1.0, 47), (1.5, 117), (2.0, 351)]:
        boundary = decision_boundaries(np.arange(1, 400), norm.cdf(radius), 1e-3, 0.05)
        assert boundary.looks[boundary.certify <= boundary.looks][0] == first
    assert boundary.give_up[0] <= 0
    assert (boundary.give_up < boundary.certify).all()


def test_boundaries_are_those_of_the_evidence():
    looks = look_times(500, first=7, growth=0.3)
    boundary = decision_boundaries(looks, 0.8, 0.01, 0.05)
    for n, up, down in zip(boundary.looks, boundary.certify, boundary.give_up, strict=True):
        counts = np.arange(n + 1)
        above = np.asarray(log_evidence_above(counts, int(n), 0.8)) >= np.log(100)
        below = np.asarray(log_evidence_below(counts, int(n), 0.8)) >= np.log(20)
        assert above.sum() == n + 1 - up
        assert below.sum() == down + 1


def test_look_times_and_errors():
    times = look_times(20_000)
    assert times[0] == 8
    assert times[-1] == 20_000
    assert (np.diff(times) > 0).all()
    assert len(times) < 80
    assert look_times(5).tolist() == [5]
    for arguments in [(0,), (5, 0), (5, 1, -0.1)]:
        with pytest.raises(ValueError, match="expected cap"):
            look_times(arguments[0], **dict(zip(("first", "growth"), arguments[1:], strict=False)))
    for p in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="expected probabilit"):
            log_evidence_above(1, 2, p)
        with pytest.raises(ValueError, match="expected probabilit"):
            log_evidence_below(1, 2, p)
    with pytest.raises(ValueError, match="expected alpha"):
        anytime_lower(1, 2, 0.5)
    with pytest.raises(ValueError, match="expected increasing"):
        decision_boundaries([3, 3], 0.5, 0.1, 0.1)
    with pytest.raises(ValueError, match="expected give_up"):
        decision_boundaries([3], 0.5, 0.1, 0.0)


@pytest.mark.parametrize(("a", "b"), [(3.86, 0.57), (8.0, 0.5), (1.0, 1.0)])
@pytest.mark.parametrize("radius", [0.5, 1.0])
def test_decisions_certify_nearly_as_many_images_with_a_fraction_of_the_samples(a, b, radius):
    """Over laws of class probabilities: the share of 10,000 samples within 0.01, that of 100,000 within 0.03."""
    p0, looks = norm.cdf(radius), look_times(20_000)
    rng, runs = np.random.default_rng(8), 20_000
    p = rng.beta(a, b, runs)
    boundary = decision_boundaries(looks, p0, 1e-3, 0.05)
    count, alive = np.zeros(runs, dtype=np.int64), np.ones(runs, dtype=bool)
    trials, certified = np.full(runs, looks[-1]), 0
    for step, look, up, down in zip(np.diff(looks, prepend=0), looks, boundary.certify, boundary.give_up, strict=True):
        count[alive] += rng.binomial(step, p[alive])
        decided = alive & ((count >= up) | (count <= down))
        certified += int((decided & (count >= up)).sum())
        trials[decided], alive = look, alive & ~decided
    share = {n: (binom.sf(binom.isf(1e-3, n, p0), n, p)).mean() for n in (10_000, 100_000)}
    assert certified / runs >= share[10_000] - 0.01
    assert certified / runs >= share[100_000] - 0.03
    assert trials.mean() <= 100_000 / 50
