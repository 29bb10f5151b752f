from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import integrate
from scipy.special import betaincc
from scipy.stats import beta, betabinom, binom, norm

from hrvlm.certificates import clopper_pearson_lower, radius_ceiling, smoothing_radius
from hrvlm.certificates.planning.laws import AtomLaw, BetaLaw, MixtureLaw, UniformLaw, pilot_law
from hrvlm.certificates.planning.sample_size import (
    Question,
    certified_accuracy_exact,
    certified_accuracy_law,
    forecast,
    mean_radius_exact,
    mean_radius_law,
    plan_samples,
)

LAWS = {
    "uniform": (UniformLaw(0.5), [0.388, 0.650, 0.749, 0.782], (-5.5, -0.7, -0.1)),
    "uniform high": (UniformLaw(0.7), [0.630, 0.985, 1.103, 1.141], (-4.4, -0.7, -0.1)),
    "beta": (BetaLaw(8, 0.5), [1.088, 1.622, 1.844, 1.931], (-7.1, -1.9, -0.5)),
    "saturated": (BetaLaw(20, 0.25), [1.379, 2.134, 2.548, 2.770], (-8.6, -3.2, -1.3)),
}
SIZES = (100, 1000, 10_000, 100_000)


@pytest.mark.parametrize("name", LAWS)
def test_published_radii_and_errors_of_the_law(name):
    """The table of the smoothing specification, alpha 0.001, in units of sigma."""
    law, radii, errors = LAWS[name]
    question = Question(law=law)
    exact = [mean_radius_exact(question, n) for n in SIZES]
    np.testing.assert_allclose(exact, radii, atol=6e-4)
    off = [100 * (mean_radius_law(question, n) / exact[i] - 1) for i, n in enumerate(SIZES[:3])]
    np.testing.assert_allclose(off, errors, atol=0.06)


def test_published_plans():
    for law, sizes in [(UniformLaw(0.5), (8103, 2711, 774)), (BetaLaw(20, 0.25), (22_423, 7818, 1766))]:
        for loss, expected in zip((0.05, 0.1, 0.2), sizes, strict=True):
            plan = plan_samples(Question(law=law), loss)
            assert plan.n_law == pytest.approx(expected, rel=2e-3)
            assert plan.loss <= loss


def test_exact_sums_are_those_over_single_probabilities():
    """Against binomial sums integrated numerically over the law."""
    n, sigma, tau = 60, 0.3, 0.6
    k = np.arange(n + 1)
    radii = smoothing_radius(k, n, 0.01, sigma, threshold=tau)
    sure = clopper_pearson_lower(k, n, 0.01) >= norm.cdf(0.2 / sigma + norm.ppf(tau))
    p, w = np.polynomial.legendre.leggauss(400)
    p, w = 0.4 + 0.6 * (p + 1) / 2, w / 2
    mass = binom.pmf(k, n, p[:, None])
    for law, density in [(UniformLaw(0.4), np.ones_like(p)), (BetaLaw(9, 3), 0.6 * beta(9, 3).pdf(p))]:
        question = Question(law=law, alpha=0.01, sigma=sigma, threshold=tau)
        tolerance = {"rel": 1e-6 if isinstance(law, UniformLaw) else 5e-3}
        assert mean_radius_exact(question, n) == pytest.approx(float((w * density) @ mass @ radii), **tolerance)
        expected = float((w * density) @ mass @ sure)
        assert certified_accuracy_exact(question, n, 0.2) == pytest.approx(expected, **tolerance)


def test_simulated_runs_have_the_forecast_mean():
    rng, law, n = np.random.default_rng(0), BetaLaw(6, 0.8), 300
    radii = np.asarray(smoothing_radius(rng.binomial(n, rng.beta(6, 0.8, 40_000)), n, 1e-3, 0.25))
    question = Question(law=law, sigma=0.25)
    assert abs(radii.mean() - mean_radius_exact(question, n)) < 5 * radii.std() / 200
    found = forecast(question, [n], [0.1])[0]
    assert abs((radii >= 0.1).mean() - found["certified_accuracy"]["0.1"]) < 5 * 0.5 / 200
    assert found["ceiling"] == pytest.approx(radii.max(), rel=1e-12)


def test_a_radius_below_zero_asks_no_more_than_a_right_decision():
    question, n = Question(threshold=0.7), 50
    below, zero, some = forecast(question, [n], [-0.5, 0.0, 0.2])[0]["certified_accuracy"].values()
    assert below == zero == pytest.approx(certified_accuracy_exact(question, n, 0.0))
    assert below == pytest.approx(certified_accuracy_exact(question, n, -0.5))
    assert 0 < some < zero < 1


@pytest.mark.parametrize("tau", [0.3, 0.5, 0.8])
def test_law_integrates_its_certified_accuracy(tau):
    for law in (UniformLaw(0.5), BetaLaw(8, 0.5)):
        question = Question(law=law, sigma=0.5, threshold=tau)
        for n in (50, 5000):
            radii = np.linspace(0, 4, 2001)
            curve = [certified_accuracy_law(question, n, r) for r in radii]
            assert mean_radius_law(question, n) == pytest.approx(integrate.trapezoid(curve, radii), rel=1e-3)


def test_without_end_the_law_is_the_mean_of_true_radii():
    t = np.linspace(0, 12, 20_001)
    for law, density in [(UniformLaw(0.5), 2.0), (BetaLaw(5, 1), beta(5, 1).pdf(norm.cdf(t)))]:
        expected = integrate.simpson(t * density * norm.pdf(t), x=t)
        assert mean_radius_law(Question(law=law), math.inf) == pytest.approx(expected, rel=1e-6)


def test_uniform_closed_form_and_slope():
    """All orders of 1 / sqrt(n) for the uniform law, and the relative slope 2.0238."""
    z, n = norm.isf(1e-3), 900
    kappa = z / n**0.5
    top = norm.ppf(1 / (1 + kappa**2))
    inner = integrate.quad(lambda t: (norm.cdf(t) * norm.sf(t)) ** 0.5, 0, top)[0]
    closed = 2 * (norm.pdf(0) - norm.pdf(top) + kappa**2 * top / (1 + kappa**2) - kappa * inner)
    assert mean_radius_law(Question(), n) == pytest.approx(closed, rel=1e-6)
    full, some = mean_radius_law(Question(), math.inf), mean_radius_law(Question(), 10**8)
    assert (1 - some / full) / (z / 1e4) == pytest.approx(2.02378, rel=2e-3)


def test_laws_agree_with_scipy():
    counts = np.arange(0.0, 41.0)
    np.testing.assert_allclose(BetaLaw(3, 0.7).count_share(counts, 40), betabinom.pmf(counts, 40, 3, 0.7), rtol=1e-9)
    shortfall = np.array([-0.1, 0.0, 1e-12, 0.3, 0.9])
    np.testing.assert_allclose(BetaLaw(3, 0.7).tail(shortfall), beta(0.7, 3).cdf(shortfall), rtol=1e-9)
    mixture = MixtureLaw(((0.25, UniformLaw(0.2)), (0.25, AtomLaw()), (0.4, BetaLaw(2, 2))))
    assert mixture.count_share(counts, 40).sum() == pytest.approx(0.9)
    assert mixture.tail(np.array([0.0]))[0] == pytest.approx(0.25)
    assert mixture.tail(np.array([-1e-9]))[0] == 0
    assert mixture.tail(np.array([1.0]))[0] == pytest.approx(0.9)


def test_atoms_keep_growing_and_stop_at_the_ceiling():
    question = Question(law=AtomLaw(), sigma=0.25)
    for n in (100, 10_000):
        assert mean_radius_exact(question, n) == pytest.approx(radius_ceiling(n, 1e-3, 0.25))
        assert certified_accuracy_exact(question, n, 0.99 * radius_ceiling(n, 1e-3, 0.25)) == 1
        assert certified_accuracy_exact(question, n, 1.01 * radius_ceiling(n, 1e-3, 0.25)) == 0


def test_pilot_laws():
    law = pilot_law([90, 90, 40], [100, 100, 100], num_images=4)
    assert law.tail(np.array([1.0]))[0] == pytest.approx(0.75)
    expected = (2 * betabinom.pmf(7, 10, 90.5, 10.5) + betabinom.pmf(7, 10, 40.5, 60.5)) / 4
    assert law.count_share(np.array([7.0]), 10)[0] == pytest.approx(expected)
    plan = plan_samples(Question(law=law, sigma=0.25), 0.05, n_reference=10_000)
    assert plan.loss <= 0.05
    rng = np.random.default_rng(5)
    p = rng.beta(8, 0.5, 150)
    wide = pilot_law(rng.binomial(1000, p).tolist(), [1000] * 150)
    true = np.mean([binom.pmf(np.arange(301), 300, q) @ smoothing_radius(np.arange(301), 300, 1e-3, 1.0) for q in p])
    assert mean_radius_exact(Question(law=wide), 300) == pytest.approx(true, rel=0.02)


@pytest.mark.parametrize("radius", [None, 0.1])
@pytest.mark.parametrize("loss", [0.02, 0.1, 0.6])
def test_plans_are_least_and_keep_their_loss(radius, loss):
    question = Question(law=BetaLaw(6, 1), sigma=0.25, threshold=0.5)
    plan = plan_samples(question, loss, radius=radius, n_reference=20_000)

    def value(n):
        return mean_radius_exact(question, n) if radius is None else certified_accuracy_exact(question, n, radius)

    goal = plan.reference * (1 - loss) if radius is None else plan.reference - loss
    assert plan.value == value(plan.n) >= goal
    assert value(int(0.9 * plan.n) - 2) < goal
    assert plan.ceiling == radius_ceiling(plan.n, question.alpha, 0.25)
    assert (plan.n_law is None) == (plan.n < 250 and plan.n_law is None)


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="expected n_reference >= 10"):
        plan_samples(Question(), n_reference=9)
    with pytest.raises(ValueError, match="expected loss"):
        plan_samples(Question(), 1.0)
    with pytest.raises(ValueError, match="certify something"):
        plan_samples(Question(law=MixtureLaw(((0.0, AtomLaw()),))))
    for broken in (lambda: UniformLaw(1.0), lambda: BetaLaw(0, 1), lambda: MixtureLaw(()), lambda: pilot_law([], [])):
        with pytest.raises(ValueError, match="expected"):
            broken()
    with pytest.raises(ValueError, match="expected threshold"):
        dataclasses.replace(Question(), threshold=1.0)


@pytest.mark.parametrize("n", [1, 30, 1000, 100_000])
@pytest.mark.parametrize("low", [0.0, 0.5, 0.93])
def test_counts_far_above_the_lowest_probability_need_no_integral(low, n):
    """Against the integral of every count."""
    counts = np.arange(n + 1, dtype=float)
    expected = betaincc(counts + 1, n - counts + 1, low) / ((1 - low) * (n + 1))
    np.testing.assert_allclose(UniformLaw(low).count_share(counts, n), expected, rtol=1e-14)
