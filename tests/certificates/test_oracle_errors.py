"""Bounds on the ideal label's probability: the worked numbers, and all joint laws of both labels on a grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hrvlm.certificates import OracleError, corrected_lower

STEPS = 20


def joint_laws():
    """P(O = c, O* = c), P(O = c, O* = other), P(O = other, O* = c), P(both others), on a grid, exactly summing to 1."""
    found = [c for c in itertools.product(range(STEPS + 1), repeat=3) if sum(c) <= STEPS]
    three = np.array(found, dtype=np.float64)
    return np.concatenate([three, STEPS - three.sum(axis=1, keepdims=True)], axis=1) / STEPS


def rates(laws, model):
    """The rate of each model in each law, by its definition; nan where its condition has probability 0."""
    _, wrong_yes, wrong_no, neither = laws.T
    said, other = laws[:, 0] + wrong_yes, wrong_yes + neither
    with np.errstate(invalid="ignore"):
        return {
            "overall": wrong_yes + wrong_no,
            "false positive": wrong_yes,
            "conditional": wrong_yes / other,
            "audit": wrong_yes / said,
        }[model]


@pytest.mark.parametrize("model", ["overall", "false positive", "conditional", "audit"])
def test_no_joint_law_has_less_than_the_bound_and_some_law_attains_it(model):
    laws = joint_laws()
    rate = rates(laws, model)
    use = np.isfinite(rate) & (laws[:, 0] + laws[:, 1] < 1)
    laws, rate = laws[use], rate[use]
    q, p = laws[:, 0] + laws[:, 1], laws[:, 0] + laws[:, 2]
    bound = corrected_lower(q, model, rate)
    assert np.all(p >= bound - 1e-12)
    # Tight: at every share and rate, the law of that bound without false negatives has both.
    shares, errors = np.meshgrid(np.linspace(0.05, 0.95, 19), np.linspace(0, 0.95, 20))
    least = corrected_lower(shares, model, errors)
    zero = np.zeros_like(least)
    attaining = np.stack([least, shares - least, zero, 1 - shares], axis=-1)[least > 0]
    assert np.all(attaining > -1e-12)
    np.testing.assert_allclose(rates(attaining, model), errors[least > 0], atol=1e-12)
    assert len(attaining) > 100


def test_a_bound_grows_with_what_it_is_made_from():
    q, e = np.meshgrid(np.linspace(0, 0.999, 50), np.linspace(0, 1, 51))
    for model in ("overall", "false positive", "conditional", "audit"):
        bound = corrected_lower(q, model, e)
        assert np.all((bound >= 0) & (bound <= q))  # never above the oracle's own share
        assert np.all(np.diff(bound, axis=1) >= 0)
        assert np.all(np.diff(bound, axis=0) <= 0)
        assert np.all(corrected_lower(q, model, 0.0) == q)


def test_numbers_of_the_literature():
    # True share 0.55, false positives 0.2 of the others, none false negative: q = 0.64, error 0.09.
    assert corrected_lower(0.64, "overall", 0.09) == pytest.approx(0.55)
    assert corrected_lower(0.64, "conditional", 0.2) == pytest.approx(0.55)
    assert corrected_lower(0.64, "audit", 0.09 / 0.64) == pytest.approx(0.55)
    assert (0.64 - 0.09) / (1 - 2 * 0.09) > 0.67  # what the formula of equal flips makes of it
    # 0 errors of m at 5e-4, and a few of 300.
    for errors, trials, upper in [(0, 50, 0.141), (0, 100, 0.073), (0, 300, 0.0250), (0, 1000, 0.0076)]:
        found = OracleError(model="overall", errors=errors, trials=trials).rate_upper(5e-4)
        assert found == pytest.approx(upper, abs=6e-4)
        assert found == pytest.approx(1 - (5e-4) ** (1 / trials))
    for errors, upper in [(1, 0.033), (3, 0.04560857), (10, 0.082)]:
        assert OracleError(model="audit", errors=errors, trials=300).rate_upper(5e-4) == pytest.approx(upper, abs=6e-4)


def test_a_true_minority_is_not_certified_where_the_oracle_shows_a_majority():
    p, false_positive = 0.40, 0.2
    q, error = p + false_positive * (1 - p), false_positive * (1 - p)
    assert q > 0.5
    assert corrected_lower(q, "overall", error) == pytest.approx(p)
    assert (q - error) / (1 - 2 * error) > p + 0.1  # equal flips: 0.526, a majority


def test_markov_is_sharp_for_populations():
    error = OracleError(model="overall", rate=0.02, scope="population", gamma=0.1)
    assert error.rate_upper() == 0.02
    assert error.rate_at_image() == pytest.approx(0.2)  # a tenth of the images with 0.2, the others with 0
    assert error.corrected(0.9) == pytest.approx(0.7)
    assert OracleError(model="overall", rate=0.5, scope="population", gamma=0.1).rate_at_image() == 1
    assert OracleError(model="overall", rate=0.5, scope="population", gamma=0.1).corrected(0.99) == 0


def test_alpha_is_split_only_where_a_rate_is_estimated():
    assert OracleError(model="overall", rate=0.1).shares(0.01) == (0.01, 0.0)
    assert OracleError(model="overall", errors=0, trials=9).shares(0.01) == (0.005, 0.005)
    count, calibration = OracleError(model="audit", errors=0, trials=9, calibration_share=0.7).shares(0.01)
    assert (count, calibration) == (pytest.approx(0.003), pytest.approx(0.007))
    with pytest.raises(ValueError, match="expected no alpha"):
        OracleError(model="overall", rate=0.1).rate_upper(0.01)
    with pytest.raises(ValueError, match="expected alpha in"):
        OracleError(model="overall", errors=0, trials=9).rate_upper()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"model": "equal flips", "rate": 0.1}, "expected model as one of"),
        ({"model": "overall"}, "expected a given rate, or errors and trials"),
        ({"model": "overall", "rate": 0.1, "errors": 1, "trials": 9}, "expected a given rate, or errors and trials"),
        ({"model": "overall", "errors": 1}, "expected a given rate, or errors and trials"),
        ({"model": "overall", "trials": 1}, "expected a given rate, or errors and trials"),
        ({"model": "overall", "rate": 1.0}, r"expected rate in \[0, 1\)"),
        ({"model": "overall", "rate": -0.1}, r"expected rate in \[0, 1\)"),
        ({"model": "overall", "errors": 4, "trials": 3}, "successes <= trials"),
        ({"model": "overall", "errors": 0, "trials": 0}, "successes <= trials"),
        ({"model": "overall", "errors": 0.5, "trials": 3}, "as integers"),
        ({"model": "overall", "rate": 0.1, "scope": "all"}, "expected scope as one of"),
        ({"model": "overall", "rate": 0.1, "scope": "homogeneous"}, "expected the model 'conditional'"),
        ({"model": "audit", "rate": 0.1, "scope": "population", "gamma": 0.1}, "no mean over images"),
        ({"model": "conditional", "rate": 0.1, "scope": "population", "gamma": 0.1}, "no mean over images"),
        ({"model": "overall", "rate": 0.1, "scope": "population"}, "expected gamma with the scope"),
        ({"model": "overall", "rate": 0.1, "gamma": 0.1}, "expected gamma with the scope"),
        ({"model": "overall", "rate": 0.1, "scope": "population", "gamma": 1.0}, "expected gamma in"),
        ({"model": "overall", "rate": 0.1, "calibration_share": 1.0}, "expected calibration_share in"),
    ],
)
def test_errors_that_do_not_make_sense_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        OracleError(**keywords)


def test_bounds_refuse_what_is_no_probability():
    for arguments in [(1.0, "overall", 0.1), (0.5, "overall", 1.1), (-0.1, "audit", 0.1), (0.5, "equal flips", 0.1)]:
        with pytest.raises(ValueError, match="expected"):
            corrected_lower(*arguments)
    assert corrected_lower(0.9, "conditional", 1.0) == 0


def test_words_name_the_scope():
    told = OracleError(model="conditional", errors=1, trials=9, scope="homogeneous").assumed
    assert "same at every image" in told
    assert "given that the ideal label is another" in told
    assert "not about this image" in OracleError(model="overall", rate=0.1, scope="population", gamma=0.1).assumed
    assert "at this very image" in OracleError(model="audit", errors=1, trials=9).assumed
    assert len({OracleError(model=m, rate=0.1).assumed for m in ("overall", "false positive", "audit")}) == 3
