"""The mean-score classifier: shifts of means, ranges of margins, curves through three angles, containment, ordering."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from semantic_problems import CURV, Problem, random_problem

from hrvlm.certificates import AffineScorer, MarginRange, MeanBounds, mean_bounds, mean_shift_bound, shifted_mean
from hrvlm.certificates.kinds.joint.mean_score import _curve, _valley


def test_shifts_of_means_by_known_values():
    assert shifted_mean(0.05, -0.5) == pytest.approx(-0.338101, abs=1e-6)
    assert mean_shift_bound(0.5) == pytest.approx(0.394825, abs=1e-6)
    assert shifted_mean(0.3, 0.0) == pytest.approx(0.3)
    # A half-space attains it: sign(<a, x> - b) has mean 1 - 2 Phi(b - t), and t falls by the shift.
    for t, shift in ((0.4, 0.7), (-1.0, 0.2)):
        assert shifted_mean(1 - 2 * norm.cdf(-t), -shift) == pytest.approx(1 - 2 * norm.cdf(shift - t), abs=1e-12)


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_margins_stay_in_their_range_and_come_close_to_its_ends(kind):
    problem = random_problem(kind, 6, 3, 1, seed=2)
    texts, rng = torch.from_numpy(problem.classes), np.random.default_rng(0)
    points = rng.standard_normal((40_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    if kind == "poincare":
        points *= (rng.random((40_000, 1)) ** 0.1) * 0.999999 / math.sqrt(CURV)
    points = torch.from_numpy(points)
    scorer = scorer_of(kind, texts, points)
    for label in range(6):
        possible = range_of(kind, texts, label)
        scores = scorer.scores(points)
        margins = torch.cat(
            [(scores[:, [label]] - scores)[:, :label], (scores[:, [label]] - scores)[:, label + 1 :]], 1
        )
        assert (margins >= possible.low - 1e-9).all()
        assert (margins <= possible.high + 1e-9).all()
        if kind == "cosine":
            assert (margins.amin(0) < possible.low * 0.99).all()


def scorer_of(kind: str, texts: torch.Tensor, points: torch.Tensor) -> AffineScorer:
    return AffineScorer.cosine(texts) if kind == "cosine" else AffineScorer.poincare(texts, points.norm(dim=1), CURV)


def range_of(kind: str, texts: torch.Tensor, label: int) -> MarginRange:
    return MarginRange.cosine(texts, label) if kind == "cosine" else MarginRange.poincare(texts, label, CURV)


def copies(kind: str, n: int, spread: float) -> tuple[Problem, torch.Tensor, int]:
    """A problem, points around its first image, and the class that their mean score favours."""
    problem = random_problem(kind, 8, 6, 1, seed=5)
    noise = np.random.default_rng(1).standard_normal((n, 6)) * spread
    points = problem.images + noise
    size = 1.0 if kind == "cosine" else np.linalg.norm(problem.images)
    points = torch.from_numpy(points / np.linalg.norm(points, axis=1, keepdims=True) * size)
    label = int(scorer_of(kind, torch.from_numpy(problem.classes), points).scores(points).mean(dim=0).argmax())
    return problem, points, label


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_bounds_at_three_angles_hold_between_them(kind):
    problem, points, label = copies(kind, 400, 0.2)
    texts = torch.from_numpy(problem.classes)
    scorer, possible = scorer_of(kind, texts, points), range_of(kind, texts, label)
    _, source, target = problem.arguments
    found = mean_bounds(scorer, points, source, target, label, possible, longest=1.2, sigma=0.5, alpha=0.01)
    turned = Problem(kind, problem.classes, points.numpy(), problem.source, problem.target)
    e1 = problem.source / np.linalg.norm(problem.source)
    e2 = problem.target - problem.target @ e1 * e1
    e2 /= np.linalg.norm(e2)
    bias = scorer.bias.numpy()
    for extent in np.linspace(0, 1.2, 25):
        means = []
        for i, z in enumerate(turned.images):
            own = math.atan2(z @ e2, z @ e1)
            scores = turned.path(i, np.array([own + extent]))[0] @ scorer.weight.numpy().T
            means.append(scores + (bias if bias.ndim == 1 else bias[i]))
        margin = np.delete(np.mean(means, axis=0)[label] - np.mean(means, axis=0), label)
        low, high = possible.low.numpy(), possible.high.numpy()
        scaled = (margin - low) / (high - low)
        assert (found._lowest(float(extent)) <= scaled + 1e-6).all()
    radii = [found.radius(e) for e in np.linspace(0, 1.2, 40)]
    assert radii == sorted(radii, reverse=True)
    assert found.sigma == 0.5


def exact_bounds(margins: np.ndarray, longest: float = 1.0) -> MeanBounds:
    """Bounds without any error, for margins `(3, R)` of unit range."""
    scaled = (1 + margins) / 2
    return MeanBounds(scaled, scaled, np.full(margins.shape[1], 0.5), longest, 1.0)


def test_radius_and_extent_without_sampling_error():
    a, b, c = np.array([0.1, 0.05]), np.array([0.2, 0.3]), np.array([-0.25, -0.4])
    nodes = np.array([0.0, 0.5, 1.0])[:, None]
    found = exact_bounds(a + b * np.cos(nodes) + c * np.sin(nodes))

    def lowest(extent: float) -> float:
        angles = np.linspace(0, extent, 4001)[:, None]
        return float((a + b * np.cos(angles) + c * np.sin(angles)).min())

    for extent in (0.0, 0.2, 0.5, 0.6):
        radius = found.radius(extent)
        expected = max(0.0, norm.ppf((1 + lowest(extent)) / 2))
        assert radius == pytest.approx(expected, abs=1e-6)
        # the published form: the lowest margin exceeds 2 Phi(radius / sigma) - 1
        assert radius == 0 or lowest(extent) == pytest.approx(2 * norm.cdf(radius) - 1, abs=1e-6)
    assert found.radius(1.0) == 0
    for radius in (0.01, 0.1):
        extent = found.extent(radius)
        assert extent is not None
        assert found.radius(extent) >= radius
        assert found.radius(extent + 1e-6) < radius
    assert found.extent(0.9) is None
    with pytest.raises(ValueError, match="expected an extent from 0 to 1"):
        found.radius(1.1)


def test_the_valley_of_a_curve_is_its_smallest_value():
    rng = np.random.default_rng(3)
    values = rng.standard_normal((3, 200))
    curve = _curve(values, 2.0)
    nodes = np.array([0.0, 1.0, 2.0])[:, None]
    np.testing.assert_allclose(curve[0] + curve[1] * np.cos(nodes) + curve[2] * np.sin(nodes), values, atol=1e-10)
    dense = np.linspace(0.3, 1.9, 5001)[:, None]
    expected = (curve[0] + curve[1] * np.cos(dense) + curve[2] * np.sin(dense)).min(axis=0)
    np.testing.assert_allclose(_valley(curve, 0.3, 1.9), expected, atol=1e-5)


def test_claims_of_the_mean_are_false_at_most_at_alpha():
    # Two classes and copies that are one class's text or the other's: the mean margin is a coin's.
    texts, rng, alpha, n, p = torch.eye(4, dtype=torch.float64)[:2], np.random.default_rng(6), 0.1, 60, 0.8
    source, target = torch.eye(4)[2], torch.eye(4)[3]
    wrong, some, runs = 0, 0, 120
    for _ in range(runs):
        points = texts[torch.from_numpy((rng.random(n) > p).astype(int))]
        possible = MarginRange.cosine(texts, 0)
        found = mean_bounds(
            AffineScorer.cosine(texts), points, source, target, 0, possible, longest=1.0, sigma=1.0, alpha=alpha
        )
        mean = (2 * p - 1) / math.sqrt(2)  # of the margin 1 or -1, over its range of sqrt(2)
        truth = norm.ppf((1 + mean) / 2)
        wrong += found.radius(1.0) > truth
        some += found.radius(1.0) > 0
    assert wrong <= alpha * runs
    assert some > runs / 2


def test_twins_and_single_classes():
    texts = torch.eye(3, dtype=torch.float64)[[0, 0, 1]]
    points = torch.eye(3, dtype=torch.float64)[[0] * 50]
    source, target = torch.eye(3)[1], torch.eye(3)[2]
    given = {"longest": 1.0, "sigma": 1.0, "alpha": 0.1}
    found = mean_bounds(AffineScorer.cosine(texts), points, source, target, 0, MarginRange.cosine(texts, 0), **given)
    assert found.radius(0.5) == 0
    assert found.extent(0.0) is None
    one = mean_bounds(
        AffineScorer.cosine(texts[:1]), points, source, target, 0, MarginRange.cosine(texts[:1], 0), **given
    )
    assert one.radius(1.0) == math.inf
    with pytest.raises(ValueError, match="within what is possible"):
        mean_bounds(AffineScorer.cosine(texts), 3 * points, source, target, 0, MarginRange.cosine(texts, 0), **given)


@pytest.mark.parametrize("none", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_copies_without_finite_scores_count_as_the_worst(kind, none):
    problem, points, label = copies(kind, 200, 0.1)
    texts = torch.from_numpy(problem.classes)
    possible, (_, source, target) = range_of(kind, texts, label), problem.arguments
    given = {"longest": 1.2, "sigma": 0.5, "alpha": 0.01}

    def bounds(some):
        return mean_bounds(scorer_of(kind, texts, some), some, source, target, label, possible, **given)

    broken, whole = points.clone(), bounds(points)
    broken[::10, 2] = none
    found, rest = bounds(broken), bounds(points[[i for i in range(200) if i % 10]])
    assert (found.lower < np.minimum(whole.lower, rest.lower)).all()
    assert found.radius(0.0) <= whole.radius(0.0)
    assert (found.lower <= 0.9 * rest.upper).all()  # their scaled margins are 0
    assert (found.upper >= 0.9 * rest.lower).all()
    broken[:] = none
    nothing = bounds(broken)
    assert nothing.radius(0.0) == 0
    assert nothing.extent(0.0) is None
