from __future__ import annotations

import numpy as np
import pytest
import torch
from semantic_problems import Problem, random_problem
from sweeps import sweep

from hrvlm.certificates import AffineScorer, Reason, semantic_partition, stable_coverage, stable_intervals


def slack_margin(problem: Problem, i: int, angles: np.ndarray, delta: float) -> np.ndarray:
    """min over j of m_j - delta ||w_y - w_j|| at each angle, from the definition."""
    scorer = problem.scorer.rows(slice(i, i + 1))
    weight = scorer.weight.numpy()
    scores = problem.path(i, angles) @ weight.T + scorer.bias.numpy()
    winner = scores.argmax(1)
    margin = np.take_along_axis(scores, winner[:, None], 1) - scores
    margin -= delta * np.linalg.norm(weight[winner][:, None] - weight[None], axis=2)
    np.put_along_axis(margin, winner[:, None], np.inf, 1)
    return margin.min(1)


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize(
    ("num_classes", "dimension", "delta"),
    sweep([(2, 3, 0.1), (5, 4, 0.03), (60, 5, 0.02), (5, 3, 0.0)], quick=[(5, 4, 0.03)]),
)
def test_coverage_against_a_dense_grid(kind, num_classes, dimension, delta):
    problem = random_problem(kind, num_classes, dimension, 60, seed=21)
    if kind == "poincare":
        delta /= 4
    partition = semantic_partition(problem.scorer, *problem.arguments)
    coverage = stable_coverage(problem.scorer, *problem.arguments, delta)
    pieces = stable_intervals(problem.scorer, *problem.arguments, delta)
    for i in range(60):
        start, stop = float(partition.start[i]), float(partition.stop[i])
        angles = start + (stop - start) * (np.arange(2000) + 0.5) / 2000
        stable = slack_margin(problem, i, angles, delta) > 0
        assert float(coverage[i]) == pytest.approx(stable.mean(), abs=1e-3 * (1 + len(pieces[i])))
        assert sum(abs(b - a) for a, b, _ in pieces[i]) == pytest.approx(float(coverage[i]) * abs(stop - start))
        # Each stable piece is tight: positive slack inside, none just outside unless the range ends there.
        for a, b, label in pieces[i]:
            inside = a + (b - a) * np.linspace(0.001, 0.999, 15)
            assert (slack_margin(problem, i, inside, delta) > -1e-12).all()
            assert (problem.scores(problem.path(i, inside)).argmax(1) == label).all()
            for edge, away in ((a, a - b), (b, b - a)):
                if min(abs(edge - start), abs(edge - stop)) > 1e-9 and delta > 0:
                    assert slack_margin(problem, i, np.array([edge + np.sign(away) * 1e-7]), delta) < 1e-12


def adversaries(problem: Problem, i: int, point: np.ndarray, delta: float, rng: np.random.Generator) -> np.ndarray:
    """Points of the sphere through `point` within delta: random ones, and the worst ones for each rival class."""
    weight, radius = problem.scorer.weight.numpy(), np.linalg.norm(point)
    winner = problem.scores(point[None]).argmax()
    ways = np.concatenate([rng.standard_normal((30, len(point))), weight - weight[winner]])
    ways -= (ways @ point)[:, None] * point / radius**2
    length = np.linalg.norm(ways, axis=1, keepdims=True)
    ways = ways[length[:, 0] > 1e-9] / length[length[:, 0] > 1e-9]
    turn = 2 * np.arcsin(min(1.0, delta / 2 / radius)) * rng.choice([1.0, 0.5], (len(ways), 1))
    found = np.cos(turn) * point + np.sin(turn) * radius * ways
    assert np.linalg.norm(found - point, axis=1).max() <= delta + 1e-12
    return found


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_no_misalignment_within_delta_changes_a_stable_label(kind):
    problem, rng, delta = random_problem(kind, 12, 6, 60, seed=22), np.random.default_rng(1), 0.08
    pieces = stable_intervals(problem.scorer, *problem.arguments, delta)
    tried, unstable = 0, 0
    for i in range(60):
        for a, b, label in pieces[i]:
            for angle in np.linspace(a, b, 7):
                point = problem.path(i, np.array([angle]))[0]
                labels = problem.scores(adversaries(problem, i, point, delta * (1 - 1e-9), rng)).argmax(1)
                assert (labels == label).all()
                tried += len(labels)
        # The same attack does succeed on the uncertainty set, so it is not vacuous.
        for angle in np.random.default_rng(i).uniform(-3, 3, 5):
            point = problem.path(i, np.array([angle]))[0]
            moved = problem.scores(adversaries(problem, i, point, delta, rng)).argmax(1)
            unstable += int((moved != problem.scores(point[None]).argmax()).any())
    assert tried > 5000
    assert unstable > 10


def test_coverage_falls_with_delta():
    problem = random_problem("cosine", 40, 16, 100, seed=23)
    deltas = (0.0, 0.01, 0.02, 0.05, 0.1, 0.3, 2.0)
    curves = torch.stack([stable_coverage(problem.scorer, *problem.arguments, delta) for delta in deltas])
    assert (curves.diff(dim=0) <= 1e-12).all()
    torch.testing.assert_close(curves[0], torch.ones(100, dtype=torch.float64))
    assert curves[-1].sum() == 0


def test_twins_are_never_stable():
    problem = random_problem("cosine", 6, 4, 50, seed=24)
    doubled = AffineScorer.cosine(torch.from_numpy(np.concatenate([problem.classes, problem.classes])))
    assert stable_coverage(doubled, *problem.arguments, 0.01).sum() == 0
    assert stable_coverage(doubled, *problem.arguments, 0.0).sum() == 0


def test_edge_cases_are_never_nan():
    scorer = AffineScorer.cosine(torch.eye(4))
    features = torch.tensor([[0.0, 0.0, 0.6, 0.8], [0.0, 0.0, 0.8, 0.6], [float("nan")] * 4, [1.0, 0.0, 0.0, 0.0]])
    source, target = torch.eye(4)[0], torch.eye(4)[1]
    coverage = stable_coverage(scorer, features, source, target, 0.05)
    assert coverage[:3].tolist() == [1.0, 1.0, 0.0]
    assert stable_coverage(scorer, features, source, target, 0.2)[:3].tolist() == [0.0, 0.0, 0.0]
    assert stable_coverage(scorer, features, source, source, 0.05).tolist() == [0.0] * 4
    assert stable_intervals(scorer, features, source, source, 0.05) == [[]] * 4
    empty = stable_coverage(scorer, features[3:], source, target, 0.05, target_extent=0.0)
    assert empty.tolist() == [1.0]
    assert semantic_partition(scorer, features[3:], source, target, target_extent=0.0).reasons == (Reason.EMPTY_RANGE,)
    single = AffineScorer.cosine(torch.eye(4)[:1])
    assert stable_coverage(single, features[:2], source, target, 0.5).tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="expected delta >= 0"):
        stable_coverage(scorer, features, source, target, -0.1)


def test_chunks_agree(monkeypatch):
    problem = random_problem("poincare", 30, 6, 40, seed=25)
    whole = stable_coverage(problem.scorer, *problem.arguments, 0.01)
    monkeypatch.setattr("hrvlm.certificates.embedding.partition._CHUNK", 100)
    torch.testing.assert_close(stable_coverage(problem.scorer, *problem.arguments, 0.01), whole)
    assert 0.1 < whole.mean() < 0.99
