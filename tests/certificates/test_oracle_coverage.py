"""Monte Carlo: how often certificates under simulated oracles of known error are wrong.

Each run is one image's counts, and the labelled outputs of its calibration. The truth is least favourable: just below
a bound that some count gives. Wrong is a run that certifies and whose bound exceeds the true probability.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from hrvlm.certificates import OracleError, clopper_pearson_lower, clopper_pearson_upper, corrected_lower
from hrvlm.certificates.kinds.oracle.claim import derive_oracle
from hrvlm.certificates.statistics.claim import SAME

RUNS, ALPHA, N, TRIALS = 40_000, 0.05, 200, 150
MARGIN = 4 * np.sqrt(ALPHA * (1 - ALPHA) / RUNS)
# An oracle is (rate of false positives among other ideal labels, rate of false negatives among the class).
SYMMETRIC, LENIENT, STRICT = (0.1, 0.1), (0.2, 0.0), (0.0, 0.15)
ORACLES = {"symmetric": SYMMETRIC, "lenient": LENIENT, "strict": STRICT, "mixed": (0.12, 0.03)}
MODELS = ("overall", "false positive", "conditional", "audit")


def share(p, oracle):
    """Probability of the oracle's label."""
    return p * (1 - oracle[1]) + (1 - p) * oracle[0]


def true_rate(p, oracle, model):
    wrong_yes, wrong_no = (1 - p) * oracle[0], p * oracle[1]
    return {
        "overall": wrong_yes + wrong_no,
        "false positive": wrong_yes,
        "conditional": oracle[0],
        "audit": wrong_yes / share(p, oracle),
    }[model]


@functools.cache
def lower_by_count(alpha):
    return clopper_pearson_lower(np.arange(N + 1), N, alpha)


def least_favourable(oracle, alpha, model=None, *, at=140):
    """The ideal label's probability for which the bound of a count just exceeds what it is compared with.

    Without a model that is the share of the oracle's own label; with one, the bound as the true rate corrects it.
    """
    lower = lower_by_count(alpha)[at]
    grid = np.linspace(0.3, 0.99, 200_001)
    if model is None:
        high = share(grid, oracle) >= lower
    else:
        high = grid >= corrected_lower(lower, model, true_rate(grid, oracle, model))
    return float(grid[np.argmax(high)] - 1e-9)


def counts(p, oracle, seed):
    return np.random.default_rng(seed).binomial(N, share(p, oracle), RUNS)


def wrong(bound, p):
    """Share of runs that certify, and whose bound is above the truth."""
    return np.mean((bound > 0.5) & (bound > p))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)
def test_with_a_given_rate(oracle, model):
    p = least_favourable(oracle, ALPHA, model)
    rate = true_rate(p, oracle, model)
    error = OracleError(model=model, rate=rate)
    by_count = np.array([_semantic(count, error) for count in range(N + 1)])
    found = wrong(by_count[counts(p, oracle, 1)], p)
    assert found <= ALPHA + MARGIN
    if oracle == LENIENT:  # no false negatives: every model is sharp, and the error close to what was allowed
        assert found > 0.6 * ALPHA


def _semantic(count, error, alpha=ALPHA, alpha_calibration=0.0):
    claim = derive_oracle(
        "clopper-pearson", "class fixed in advance", count=count, n=N, alpha=alpha, sigma=1.0, error=error,
        alpha_calibration=alpha_calibration,
    )  # fmt: skip
    assert (claim.radius > 0) == (claim.lower > 0.5)
    return claim.lower


def calibration(rng, rate, trials=TRIALS):
    """Upper bounds of independent calibrations at half of alpha."""
    upper = np.array(
        [
            OracleError(model="overall", errors=errors, trials=trials).rate_upper(ALPHA / 2)
            for errors in range(trials + 1)
        ]
    )
    return upper[rng.binomial(trials, rate, RUNS)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)
def test_with_an_estimated_rate(oracle, model):
    p = least_favourable(oracle, ALPHA / 2, model)
    upper = calibration(np.random.default_rng(2), true_rate(p, oracle, model))
    bound = corrected_lower(lower_by_count(ALPHA / 2)[counts(p, oracle, 3)], model, upper)
    assert wrong(bound, p) <= ALPHA + MARGIN


@pytest.mark.parametrize("model", MODELS)
def test_the_estimate_cannot_be_taken_for_the_rate(model):
    """With errors / trials for the rate, and all of alpha for the count, certificates err far more often."""
    p = least_favourable(LENIENT, ALPHA, model)
    rng = np.random.default_rng(4)
    observed = rng.binomial(30, true_rate(p, LENIENT, model), RUNS) / 30
    bound = corrected_lower(lower_by_count(ALPHA)[counts(p, LENIENT, 5)], model, observed)
    assert wrong(bound, p) > 1.5 * ALPHA


def test_both_parts_of_alpha_are_needed():
    """Calibrations that fail do so at their own share: with a large count the whole error is theirs."""
    p, trials = 0.55, 60
    rate = clopper_pearson_upper(4, trials, ALPHA / 2) + 1e-9  # just above a bound
    upper = calibration(np.random.default_rng(6), rate, trials)
    assert 0.5 * ALPHA / 2 < np.mean(upper < rate) <= ALPHA / 2 + MARGIN
    assert wrong(corrected_lower(p + rate, "overall", upper), p) == np.mean(upper < rate)


@pytest.mark.parametrize("oracle", [LENIENT, (0.2, 0.03)], ids=["lenient", "mixed"])
def test_the_oracles_share_cannot_be_taken_for_the_ideal_labels(oracle):
    p = least_favourable(oracle, ALPHA, "overall")
    assert wrong(lower_by_count(ALPHA)[counts(p, oracle, 7)], p) > 10 * ALPHA
    # A minority that the oracle shows as a majority: nearly always certified.
    bound = lower_by_count(ALPHA)[counts(0.40, (0.35, 0.0), 8)]
    assert wrong(bound, 0.40) > 0.9


@pytest.mark.parametrize(("p", "oracle"), [(0.55, (0.2, 0.0)), (0.45, (0.25, 0.0)), (0.40, (0.35, 0.0))])
def test_equal_flips_fail_for_oracles_that_are_not_symmetric(p, oracle):
    """p = (q - e) / (1 - 2 e), and the published use of a bound on q, with the true error of the oracle."""
    error = true_rate(p, oracle, "overall")
    lower = lower_by_count(ALPHA)[counts(p, oracle, 9)]
    published = (lower - error) / (1 - 2 * error)
    assert wrong(published, p) > 2 * ALPHA
    assert wrong(lower, p) > 0.5
    assert wrong(corrected_lower(lower, "overall", error), p) <= ALPHA + MARGIN


def test_equal_flips_hold_only_where_they_are_equal():
    p, lower = 0.55, lower_by_count(ALPHA)[counts(0.55, SYMMETRIC, 10)]
    assert wrong((lower - 0.1) / 0.8, p) <= ALPHA + MARGIN
    assert wrong(lower, p) <= ALPHA + MARGIN


def population(rng, images, *, bad_share, bad):
    """Error rates of images: `bad` for a share of them, otherwise 0."""
    return np.where(rng.random(images) < bad_share, bad, 0.0)


def test_a_population_mean_fails_for_single_images_and_holds_for_most():
    """A few images have all of the errors; each of a calibration's labelled outputs comes from an image of its own."""
    rng, gamma, bad_share, bad, q = np.random.default_rng(11), 0.3, 0.2, 0.3, 0.75
    mean = bad_share * bad
    runs, images = 2_000, 50
    errors = np.sum(rng.random((runs, TRIALS)) < population(rng, (runs, TRIALS), bad_share=bad_share, bad=bad), axis=1)
    upper = np.array([clopper_pearson_upper(k, TRIALS, ALPHA / 2) for k in range(TRIALS + 1)])[errors]
    assert np.mean(upper < mean) <= ALPHA / 2 + 4 * np.sqrt(ALPHA / runs)
    rates = population(rng, (runs, images), bad_share=bad_share, bad=bad)
    lower = lower_by_count(ALPHA / 2)[rng.binomial(N, q, (runs, images))]
    true = q - rates  # all errors are false positives
    for_each = corrected_lower(lower, "overall", np.repeat(upper[:, None], images, axis=1))
    false = (for_each > 0.5) & (for_each > true)
    assert false[rates > 0].mean() > 0.5  # taken for each image: false for most of the bad ones
    assert false.mean() > 2 * ALPHA
    at_image = [OracleError(model="overall", rate=u, scope="population", gamma=gamma).rate_at_image() for u in upper]
    covered = rates <= np.array(at_image)[:, None]
    good = upper >= mean
    expected_left_out = np.where(np.array(at_image) < bad, bad_share, 0.0)
    assert np.all(expected_left_out[good] <= gamma)  # Markov, whenever the calibration holds
    corrected = corrected_lower(lower, "overall", np.repeat(np.array(at_image)[:, None], images, axis=1))
    assert np.mean(((corrected > 0.5) & (corrected > true))[covered]) <= ALPHA / 2 + MARGIN


def test_a_pooled_bound_lies_below_the_error_of_half_of_the_images():
    """Half of the images never err, half with 0.1: the pooled bound is below 0.1 in most calibrations."""
    rng = np.random.default_rng(12)
    upper = np.array([clopper_pearson_upper(k, 500, 5e-4) for k in range(501)])
    assert np.mean(upper[rng.binomial(500, 0.05, RUNS)] < 0.1) > 0.7


def test_labels_at_this_image_and_audits_of_this_image_hold_for_every_image():
    """What the population cannot do: one calibration per image, for images of quite different errors."""
    rng, q = np.random.default_rng(13), 0.8
    rates = rng.choice([0.0, 0.1, 0.25], RUNS)
    seen = rng.binomial(N, q, RUNS)
    uppers = np.array([clopper_pearson_upper(k, TRIALS, ALPHA / 2) for k in range(TRIALS + 1)])
    audited = uppers[rng.binomial(TRIALS, rates / q)]
    bound = corrected_lower(lower_by_count(ALPHA / 2)[seen], "audit", audited)
    false = (bound > 0.5) & (bound > q - rates)
    assert all(false[rates == rate].mean() <= ALPHA + 4 * np.sqrt(ALPHA / 10_000) for rate in (0.0, 0.1, 0.25))


def test_the_class_may_be_chosen_by_the_counted_samples_at_half_alpha():
    """Two labels in a tie, and an oracle that never errs: wrong at most at alpha, and close to it."""
    n = max(range(60, 100), key=lambda n: _tie(n, ALPHA))
    assert 0.8 * ALPHA < _tie(n, ALPHA) <= ALPHA + MARGIN
    assert max(_tie(n, 2 * ALPHA) for n in range(60, 100)) > 1.5 * ALPHA


def _tie(n, alpha):
    """Exact probability that one of two labels, of probability 1/2 each, is certified of an oracle without error."""
    from scipy.stats import binom

    error = OracleError(model="overall", rate=0.0)
    count = n // 2
    while derive_oracle("clopper-pearson", SAME, count=count, n=n, alpha=alpha, sigma=1.0, error=error).radius == 0:
        count += 1
    return 2 * binom.sf(count - 1, n, 0.5)


def test_composite_and_semantic_hold_together():
    """Both claims of one image at the shares that `OracleError.shares` gives: together wrong at most at alpha."""
    count, spent = OracleError(model="overall", errors=0, trials=1).shares(ALPHA)
    p = least_favourable(LENIENT, count, "overall")
    lower = lower_by_count(count)[counts(p, LENIENT, 14)]
    upper = np.array([clopper_pearson_upper(k, TRIALS, spent) for k in range(TRIALS + 1)])
    drawn = upper[np.random.default_rng(15).binomial(TRIALS, true_rate(p, LENIENT, "overall"), RUNS)]
    corrected = corrected_lower(lower, "overall", drawn)
    false = (lower > share(p, LENIENT)) | ((corrected > 0.5) & (corrected > p))
    assert false.mean() <= ALPHA + MARGIN
