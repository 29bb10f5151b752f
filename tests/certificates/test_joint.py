"""Extents of single embeddings and what their counts certify, against closed forms, dense moves, order statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm
from semantic_problems import Problem, random_problem

from hrvlm.certificates import (
    AffineScorer,
    ExtentGrid,
    JointQuestions,
    SmoothingPlan,
    at_least,
    extent_at_radius,
    move_points,
    needed_count,
    radius_at_extent,
    sample_extents,
    semantic_partition,
    smoothing_radius,
)
from hrvlm.geometry.sphere import ParallelVectorsError

SHAPES = [("cosine", 2, 3), ("cosine", 30, 8), ("poincare", 3, 2), ("poincare", 30, 8), ("cosine", 400, 32)]


def problem_of(shape: tuple[str, int, int], count: int = 40) -> Problem:
    return random_problem(*shape, count, seed=11)


def winners(problem: Problem) -> np.ndarray:
    return problem.scores(problem.images).argmax(1)


def starts(problem: Problem) -> np.ndarray:
    """Own angles in the plane."""
    partition = semantic_partition(problem.scorer, *problem.arguments)
    return partition.start.numpy()


def closed_form(problem: Problem, i: int, label: int) -> float:
    """min over rivals of chi + arccos(-C / Q), from three values of each score along the turn."""
    probe = starts(problem)[i] + np.array([0.0, np.pi / 2, np.pi])
    weight, bias = problem.scorer.weight.numpy(), problem.scorer.bias.numpy()
    s0, s1, s2 = problem.path(i, probe) @ weight.T + (bias if bias.ndim == 1 else bias[i])
    a, c = (s0 - s2) / 2, (s0 + s2) / 2
    b = s1 - c
    a, b, c = (np.delete(part[label] - part, label) for part in (a, b, c))
    if np.any(a + c <= 0):
        return -1.0
    q = np.hypot(a, b)
    reach = np.where(c - q > 0, np.pi, np.arctan2(b, a) + np.arccos(np.clip(-c / q, -1, 1)))
    return float(min(np.pi, reach.min()))


@pytest.mark.parametrize("shape", SHAPES)
def test_extents_equal_the_closed_form_over_all_rivals(shape):
    problem = problem_of(shape)
    label = int(np.bincount(winners(problem)).argmax())
    found = sample_extents(problem.scorer, *problem.arguments, label).numpy()
    expected = [closed_form(problem, i, label) for i in range(len(found))]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert (found >= 0).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("move", ["turn", "target"])
def test_the_label_holds_up_to_the_extent_and_no_further(shape, move):
    problem = problem_of(shape)
    label = int(np.bincount(winners(problem)).argmax())
    found = sample_extents(problem.scorer, *problem.arguments, label, move=move)
    longest, changes = ExtentGrid(move, 1).edges[-1], 0
    for i in np.flatnonzero(winners(problem) == label):
        begin, way = starts(problem)[i], 1.0
        if move == "target":
            partition = semantic_partition(problem.scorer, *problem.arguments)
            way = float(partition.stop[i] - partition.start[i])
        inside = np.linspace(0, float(found[i]) - 1e-9, 100)
        assert (problem.scores(problem.path(i, begin + way * inside)).argmax(1) == label).all()
        if found[i] < longest - 1e-6:
            beyond = np.array([begin + way * (float(found[i]) + 1e-6)])
            assert problem.scores(problem.path(i, beyond)).argmax() != label
            changes += 1
    assert changes or shape[1] == 2
    assert (found[winners(problem) != label] == -1).all()


def test_shares_of_the_way_are_those_of_the_partition():
    problem = problem_of(("poincare", 30, 8), 200)
    partition = semantic_partition(problem.scorer, *problem.arguments)
    shares = partition.extent / (partition.stop - partition.start).abs()
    for label in range(30):
        found = sample_extents(problem.scorer, *problem.arguments, label, move="target")
        torch.testing.assert_close(found, torch.where(partition.label == label, shares, -1.0))


def test_moved_points_are_those_of_the_definition():
    problem = problem_of(("cosine", 5, 6), 4)
    turned = move_points(*problem.arguments, torch.tensor([0.0, 0.4], dtype=torch.float64)).numpy()
    for i in range(4):
        np.testing.assert_allclose(turned[:, i], problem.path(i, starts(problem)[i] + np.array([0.0, 0.4])), atol=1e-12)


def test_embeddings_outside_the_plane_twins_and_odd_numbers():
    texts = torch.eye(4, dtype=torch.float64)[[0, 1, 1]]
    scorer = AffineScorer.cosine(texts)
    source, target = torch.eye(4)[2], torch.eye(4)[3]
    points = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [math.nan, 0, 0, 0]])
    assert sample_extents(scorer, points, source, target, 0).tolist() == [math.pi, -1, -1]
    assert sample_extents(scorer, points, source, target, 1, move="target").tolist() == [-1, 1, -1]
    assert sample_extents(scorer, points, source, target, 2).tolist() == [-1, -1, -1]
    with pytest.raises(ParallelVectorsError):
        sample_extents(scorer, points, source, 2 * source, 0)
    with pytest.raises(ValueError, match="expected move"):
        sample_extents(scorer, points, source, target, 0, move="up")


@pytest.mark.parametrize("move", ["turn", "target"])
def test_extents_count_for_the_step_below_them(move):
    grid = ExtentGrid(move, 7)
    longest = math.pi if move == "turn" else 1.0
    extents = torch.tensor([-1.0, 0.0, longest / 7, 1.5 * longest / 7, longest], dtype=torch.float64)
    assert grid.count(extents).tolist() == [1, 2, 0, 0, 0, 0, 0, 1]
    many = torch.rand(5000, dtype=torch.float64) * longest
    for step, edge in enumerate(grid.edges):
        assert at_least(grid.count(many))[step] == int((many >= edge).sum())
    assert grid.step_above(longest / 7 + 1e-9) == 2
    assert grid.step_above(float(grid.edges[3])) == 3
    with pytest.raises(ValueError, match="expected an extent from 0"):
        grid.step_above(longest * 1.01)
    for steps in (0, 2**20 + 1, 10**12):
        with pytest.raises(ValueError, match="expected steps >= 1 and at most 1,048,576"):
            ExtentGrid(move, steps)


def test_the_extent_at_a_radius_is_an_order_statistic_rounded_down():
    rng = np.random.default_rng(0)
    grid, n, sigma = ExtentGrid("turn", 500), 1000, 0.25
    extents = np.where(rng.random(n) < 0.05, -1.0, rng.gamma(4, 0.15, n).clip(max=math.pi))
    histogram = grid.count(torch.from_numpy(extents))
    for r in (0.0, 0.5, 1.0, 1.5):
        k = min(k for k in range(n + 1) if binom.sf(k - 1, n, norm.cdf(r)) <= 1e-3)
        exact = np.sort(extents)[::-1][k - 1]
        found = extent_at_radius(histogram, n, 1e-3, r * sigma, sigma, grid)
        assert (found is None) == (exact < 0)
        assert found is None or exact - math.pi / 500 < found <= exact
    assert [needed_count(n, 1e-3, r * sigma, sigma) for r in (0.5, 1.0)] == [737, 877]
    assert needed_count(n, 1e-3, 100.0, sigma) == n + 1


def test_at_no_move_the_radius_is_that_of_plain_smoothing_and_certificates_are_ordered():
    rng = np.random.default_rng(1)
    grid, n, sigma = ExtentGrid("target", 64), 400, 0.1
    histogram = grid.count(torch.from_numpy(rng.beta(5, 1, n)))
    given = {"sigma": sigma, "grid": grid}
    assert radius_at_extent(histogram, n, 0.01, 0.0, **given) == smoothing_radius(n, n, 0.01, sigma)
    count = int(histogram[grid.step_above(0.7) :].sum())
    assert radius_at_extent(histogram, n, 0.01, 0.7, **given) == smoothing_radius(count, n, 0.01, sigma)
    radii = [radius_at_extent(histogram, n, 0.01, e, **given) for e in np.linspace(0, 1, 30)]
    assert radii == sorted(radii, reverse=True)
    assert radii[0] > radii[-1]
    extents = [extent_at_radius(histogram, n, 0.01, r, **given) or 0.0 for r in np.linspace(0, 0.2, 30)]
    assert extents == sorted(extents, reverse=True)
    assert extents[0] > 0.5 > extents[-1]
    less = extent_at_radius(histogram, n, 0.001, 0.05, **given)
    assert less is not None
    assert less < extent_at_radius(histogram, n, 0.1, 0.05, **given)
    assert extent_at_radius(histogram, n, 0.01, 0.05, **given, threshold=0.7) < extent_at_radius(
        histogram, n, 0.01, 0.05, **given
    )
    for e in (0.3, 0.6, 0.7):  # the two readings agree: the radius at an extent certifies that extent, and not more
        radius = radius_at_extent(histogram, n, 0.01, e, **given)
        assert extent_at_radius(histogram, n, 0.01, radius * (1 - 1e-9), **given) >= e
        assert (extent_at_radius(histogram, n, 0.01, radius * (1 + 1e-6), **given) or 0.0) < e + 1 / 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radii": [-0.1]}, "expected radii >= 0"),
        ({"extents": [4.0]}, "expected an extent from 0"),
        ({"radii": [0.1, 0.1]}, "expected different radii"),
        ({"radii": []}, "expected at least one"),
        ({"move": "up"}, "expected move"),
        ({"steps": 0}, "expected steps"),
    ],
)
def test_questions_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        JointQuestions(**changes)


def test_a_radius_beyond_what_n_can_certify_is_refused():
    plan = SmoothingPlan(sigma=0.1, n=100, alpha=0.01)
    JointQuestions(radii=[0.1]).check(plan, 5)
    with pytest.raises(ValueError, match=r"certify the radius 0\.2 jointly"):
        JointQuestions(radii=[0.1, 0.2]).check(plan, 5)
    with pytest.raises(ValueError, match="radius 0 jointly"):
        JointQuestions(radii=[], extents=[0.1]).check(plan, 10**30)
