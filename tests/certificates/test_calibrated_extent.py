"""Stretches at a threshold on margins, against their definition on a dense grid of explicit points."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from semantic_problems import Problem, random_problem

from hrvlm.certificates import (
    AffineScorer,
    ThresholdScale,
    calibrated_extent,
    semantic_partition,
    stable_intervals,
)
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_extent import FirstStretches
from hrvlm.certificates.kinds.semantic.certify import along_rotation

STEPS = 2001


def by_definition(problem: Problem, threshold: float, scale: ThresholdScale) -> np.ndarray:
    """Radians from each image to the first point of a dense grid where some margin is no more than asked."""
    partition, found = semantic_partition(problem.scorer, *problem.arguments), []
    for i in range(len(problem.images)):
        scorer = problem.scorer.rows(slice(i, i + 1))
        weight, start, stop = scorer.weight.numpy(), float(partition.start[i]), float(partition.stop[i])
        past = abs(stop - start) * np.linspace(0, 1, STEPS)
        scores = problem.path(i, start + np.sign(stop - start) * past) @ weight.T + scorer.bias.numpy()
        label = int(scores[0].argmax())
        unit = np.linalg.norm(weight[label] - weight, axis=1) if scale.unit == "weights" else np.ones(len(weight))
        lead = scores[:, [label]] - scores - threshold * unit * (1 + scale.growth * np.sin(past))[:, None]
        lead[:, label] = np.inf
        failing = np.flatnonzero(lead.min(axis=1) <= 0)
        found.append(past[failing[0]] if len(failing) else past[-1])
    return np.array(found)


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize(
    "scale",
    [ThresholdScale(), ThresholdScale("margin"), ThresholdScale("weights", 2.0), ThresholdScale("weights", -0.9)],
    ids=str,
)
def test_a_stretch_ends_where_the_first_margin_falls_to_what_is_asked(kind: str, scale: ThresholdScale) -> None:
    problem = random_problem(kind, 12, 5, 40, seed=5)
    for threshold in (0.0, 0.02, 0.1):
        extent = calibrated_extent(problem.scorer, *problem.arguments, threshold, scale=scale).numpy()
        expected = by_definition(problem, threshold, scale)
        assert extent == pytest.approx(expected, abs=1.1 * np.pi / (STEPS - 1))
    assert 0 < np.count_nonzero(extent == 0) < 40


def test_without_a_threshold_it_is_the_raw_stretch_and_at_a_misalignment_the_first_stable_one() -> None:
    problem = random_problem("cosine", 12, 5, 40, seed=6)
    partition = semantic_partition(problem.scorer, *problem.arguments)
    assert torch.allclose(calibrated_extent(problem.scorer, *problem.arguments, 0.0), partition.extent, atol=1e-7)
    extent = calibrated_extent(problem.scorer, *problem.arguments, 0.05)
    pieces = stable_intervals(problem.scorer, *problem.arguments, 0.05)
    for i, found in enumerate(pieces):
        first = [abs(b - a) for a, b, _ in found if a == float(partition.start[i])]
        assert float(extent[i]) == pytest.approx(first[0] if first else 0.0, abs=1e-12)


@pytest.mark.parametrize(
    "scale", [ThresholdScale(), ThresholdScale("margin", 3.0), ThresholdScale("margin", -0.9)], ids=str
)
def test_holding_a_position_is_reaching_it_and_larger_thresholds_reach_less(scale: ThresholdScale) -> None:
    problem = random_problem("poincare", 8, 4, 50, seed=7)
    rotation = Rotation.tolerant(*problem.arguments)
    stretches = FirstStretches(problem.scorer, rotation, along_rotation(problem.scorer, rotation))
    thresholds = 0.1 * torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    extent, other = stretches.reach(thresholds, scale)
    for share in (0.3, 0.999, 1.001, 2.0):
        assert torch.equal(
            stretches.keeps(thresholds, share * extent, scale) & (extent > 0), (share < 1) & (extent > 0)
        )
    further, _ = stretches.reach(thresholds / 2, scale)
    assert bool((further >= extent).all())
    assert bool((further > extent).any())
    assert bool((other[extent < stretches.whole] >= 0).all())
    assert bool((other[extent == stretches.whole] == -1).all())


def test_an_image_is_asked_its_own_threshold() -> None:
    problem = random_problem("cosine", 8, 4, 20, seed=8)
    thresholds = torch.linspace(0, 0.3, 20, dtype=torch.float64)
    together = calibrated_extent(problem.scorer, *problem.arguments, thresholds)
    for i, threshold in enumerate(thresholds.tolist()):
        assert together[i] == calibrated_extent(problem.scorer, *problem.arguments, threshold)[i]


def test_a_duplicate_of_the_label_leaves_nothing() -> None:
    problem = random_problem("cosine", 6, 4, 30, seed=9)
    labels = problem.scorer.predict(problem.arguments[0])
    double = AffineScorer.cosine(torch.cat([problem.scorer.weight, problem.scorer.weight[:1]]))
    extent = calibrated_extent(double, *problem.arguments, 0.0)
    assert 0 < int((labels == 0).sum()) < 30
    assert bool((extent[labels == 0] == 0).all())
    assert bool((extent[labels != 0] > 0).all())


def test_what_is_no_threshold_is_refused() -> None:
    problem = random_problem("cosine", 6, 4, 3, seed=9)
    for wrong in (-0.1, float("nan"), float("inf"), torch.tensor([0.0, -1.0, float("inf")]), torch.zeros(2)):
        with pytest.raises(ValueError, match="expected a finite threshold >= 0, one number or 3 of them, got"):
            calibrated_extent(problem.scorer, *problem.arguments, wrong)
    with pytest.raises(ValueError, match="expected a unit of thresholds among weights, margin, got 'metres'"):
        ThresholdScale("metres")
    with pytest.raises(ValueError, match="expected growth of thresholds above -1 and finite"):
        ThresholdScale(growth=-1.0)
