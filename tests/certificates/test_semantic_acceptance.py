"""Ten thousand random problems against the scores themselves: no crossing is solved here, labels are counted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from semantic_problems import CURV, Problem, random_problem, unit
from sweeps import sweep

from hrvlm.certificates import (
    AffineScorer,
    Reason,
    SemanticPartition,
    coverage_sweep,
    semantic_partition,
    stable_intervals,
)
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.misalignment import coverage_of, stable_of

CLASSES = (2, 3, 5, 10, 30, 100, 300, 1000)
IMAGES, PLANES = 125, 5  # 2 scorers x 8 numbers of classes x 5 planes x 125 images = 10,000 problems
DELTA = 0.01
CLEAR = 1e-9  # a lead below this is a tie as far as a grid can tell


TILTS = (0.0, 1e-8, 1e-7, 1e-5, 1e-3)
"""Angles (radians) between the target and the line through the source, on either side of the origin."""
FEW = 25


def varied(kind: str, num_classes: int, plane: int, images: int = IMAGES, aslant: float | None = None) -> Problem:
    """A random problem; some have identical classes, images in the plane's complement, or on the source.

    Args:
        kind: scorer.
        num_classes: K.
        plane: which, 0 to 4.
        images: how many.
        aslant: radians between the target and the line through the source, where they are to be nearly parallel; with
            a minus, also that of -0.0, the target points the other way.
    """
    dimension = (2, 3, 5, 16, 64)[plane]
    problem = random_problem(kind, num_classes, dimension, images, seed=100 + plane)
    rng = np.random.default_rng([plane, num_classes])
    if aslant is not None:
        along, across = problem.source / 3, problem.target - (problem.target @ problem.source) * problem.source / 9
        across /= np.linalg.norm(across)
        side = math.copysign(1.0, aslant)
        problem.target = 0.7 * (side * math.cos(aslant) * along + math.sin(abs(aslant)) * across)
    if plane % 2:
        problem.classes[rng.integers(num_classes, size=num_classes // 3)] = problem.classes[0]
    if dimension > 3 and aslant != 0.0:
        basis = np.linalg.qr(np.stack([problem.source, problem.target], axis=1))[0]
        problem.images[:3] -= problem.images[:3] @ basis @ basis.T
        problem.images[:3] *= 0.5 / np.linalg.norm(problem.images[:3], axis=1, keepdims=True)
    problem.images[3] = problem.source / np.linalg.norm(problem.source) * 0.5
    if kind == "cosine":
        problem.images /= np.linalg.norm(problem.images, axis=1, keepdims=True)
    return problem


def paths(problem: Problem, angles: np.ndarray) -> np.ndarray:
    """gamma at angles (N, A), from the definition: (N, A, D)."""
    return np.stack([problem.path(i, angles[i]) for i in range(len(angles))])


def scores(problem: Problem, points: np.ndarray) -> np.ndarray:
    """(N, A, K) scores in the units of the scorer; in the ball from squared distances, not from its weights."""
    if problem.kind == "cosine":
        return points @ problem.classes.T
    gap = (points**2).sum(-1)[..., None] - 2 * points @ problem.classes.T + (problem.classes**2).sum(-1)
    return -gap / (1 - CURV * (problem.classes**2).sum(-1))


def grid(partition: SemanticPartition, count: int) -> np.ndarray:
    """Angles (N, A) inside each range, off the ends and unevenly spread."""
    shares = (np.arange(count) + np.random.default_rng(0).uniform(0.1, 0.9, count)) / count
    start, stop = partition.start.numpy()[:, None], partition.stop.numpy()[:, None]
    return start + (stop - start) * shares


def holders(pieces: list[tuple[float, float, int]], angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label of the piece that holds each angle, -1 for none, and the distance to the nearest edge."""
    label, near = np.full(len(angles), -1), np.full(len(angles), math.inf)
    for start, stop, k in pieces:
        label[(angles > min(start, stop)) & (angles < max(start, stop))] = k
        near = np.minimum(near, np.minimum(abs(angles - start), abs(angles - stop)))
    return label, near


@dataclass
class Found:
    """What a comparison with the grid has met."""

    checked: int = 0
    unstable: int = 0
    compared: int = 0
    ways: set[float] = field(default_factory=set)
    errors: list[float] = field(default_factory=list)


def compare(problem: Problem, found: Found, blur: float = 0.0) -> SemanticPartition:
    """Compare labels, stable parts and invariance with the scores at many angles.

    Args:
        problem: images along one plane.
        found: is added to.
        blur: what rounding of the plane may change a score by.
    """
    num_classes, scorer = len(problem.classes), problem.scorer
    partition, stable, coverage = certified(scorer, problem)
    assert_finite(partition, coverage)
    assert bool((coverage[1] <= coverage[0] + 1e-12).all())
    found.ways |= set(torch.sign(partition.stop - partition.start).tolist())
    angles = grid(partition, 96 if num_classes < 100 else 24)
    weight = scorer.weight.numpy()
    for some in np.array_split(np.arange(len(problem.images)), min(len(problem.images), max(1, num_classes // 25))):
        part = Problem(problem.kind, problem.classes, problem.images[some], problem.source, problem.target)
        values = scores(part, paths(part, angles[some]))
        order = values.argmax(-1)[..., None]  # the first of equals
        best = np.take_along_axis(values, order, -1)
        moved = distances(weight, order[..., 0])
        margin = best - values
        own = np.arange(num_classes) == order
        slack = np.where(own, math.inf, margin - DELTA * moved).min(-1)
        lead = np.where(own | (moved == 0), math.inf, margin).min(-1)
        for row, i in enumerate(some):
            assert partition.reasons[i] in (None, Reason.CONSTANT), partition.reasons[i]
            winners, pieces = problem.classes[order[row, :, 0]], partition.intervals(i)
            stated, near = holders(pieces, angles[i])
            clear = (near > 1e-7) & (lead[row] > CLEAR + blur)
            assert (problem.classes[stated] == winners)[clear].all()
            # Each piece may be off by the one cell of the grid that its edge lies in, and ties are anybody's.
            same = (winners == problem.classes[int(partition.label[i])]).all(-1)
            error = same.mean() - float(partition.invariance[i])
            assert abs(error) <= (len(pieces) - 1 + (lead[row] <= CLEAR + blur).sum()) / len(same) + 1e-9
            found.errors += [error] if (lead[row] > CLEAR + blur).all() else []
            inside, edge = holders(stable[i], angles[i])
            surely = (abs(slack[row]) > 1e-7 + blur) & (edge > 1e-7) & clear
            assert ((inside >= 0) == (slack[row] > 0))[surely].all()
            assert (inside == stated)[(inside >= 0) & surely].all()
            total = sum(abs(b - a) for a, b, _ in stable[i])
            # Where a margin just touches its slack the ends of a piece are known to about 1e-8.
            covered = float(coverage[1, i] * (partition.stop - partition.start)[i].abs())
            assert total == pytest.approx(covered, abs=1e-6)
            found.checked += 1
            found.compared += int(clear.any())
            found.unstable += int((slack[row] < 0).any())
    return partition


def certified(
    scorer: AffineScorer, problem: Problem
) -> tuple[SemanticPartition, list[list[tuple[float, float, int]]], torch.Tensor]:
    """Partition, stable intervals for DELTA, and coverage for 0 and DELTA.

    Where it takes long to find the partition, the other two are of this one; that they are those of a partition of
    their own is seen where it is found quickly.
    """
    arguments = (scorer, *problem.arguments)
    partition, rotation = semantic_partition(*arguments), Rotation.tolerant(*problem.arguments)
    stable = stable_of(scorer, rotation, partition, DELTA)
    coverage = coverage_of(scorer, rotation, partition, [0.0, DELTA])
    if len(problem.classes) <= 100:
        assert stable == stable_intervals(*arguments, DELTA)
        assert torch.equal(coverage, coverage_sweep(*arguments, [0.0, DELTA]))
    return partition, stable, coverage


def distances(weight: np.ndarray, winners: np.ndarray) -> np.ndarray:
    """Distances of winners' weights, any shape, from all weights, class after class: the last axis is K."""
    distinct, place = np.unique(winners, return_inverse=True)
    rows = np.stack([np.linalg.norm(weight[k] - weight, axis=-1) for k in distinct])
    return rows[place].reshape(*winners.shape, len(weight))


def assert_finite(partition: SemanticPartition, coverage: torch.Tensor) -> None:
    numbers = (partition.start, partition.stop, partition.invariance, partition.breaks, partition.extent, coverage)
    assert all(x.dtype == torch.float64 and bool(x.isfinite().all()) for x in numbers)
    assert not bool(partition.smallest_margin.isnan().any())


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize("num_classes", sweep(CLASSES, quick=(3, 30)))
def test_labels_and_stable_parts_are_those_of_the_scores(kind: str, num_classes: int) -> None:
    found = Found()
    for plane in range(PLANES):
        compare(varied(kind, num_classes, plane), found)
    assert found.checked == PLANES * IMAGES
    assert {-1.0, 1.0} <= found.ways
    assert found.unstable > 10
    assert len(found.errors) > found.checked / 2
    assert abs(np.mean(found.errors)) < 0.005  # no share of the range is left out or added throughout


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize("num_classes", sweep(CLASSES, quick=(3, 30)))
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_prompts_that_are_nearly_parallel_have_the_labels_of_the_scores_too(
    kind: str, num_classes: int, side: float
) -> None:
    """In float64 prompts 1e-8 apart span a plane, known to about 1e-8; only parallel ones certify nothing."""
    found = Found()
    for number, tilt in enumerate(TILTS):
        problem = varied(kind, num_classes, (number + num_classes) % PLANES, FEW, math.copysign(tilt, side))
        if tilt:
            found.checked, found.compared = 0, 0
            partition = compare(problem, found, blur=1e-14 / tilt)
            assert set(partition.reasons) <= {None, Reason.CONSTANT}
            assert (found.checked, found.compared) >= (FEW, FEW // 2)
            reached = torch.stack([partition.stop.cos(), partition.stop.sin()])
            expected = torch.tensor([[side * math.cos(tilt)], [math.sin(tilt)]], dtype=torch.float64)
            assert bool(((reached - expected).abs() <= 1e-12).all())
            continue
        assert_nothing(problem)
    assert {-1.0, 1.0} <= found.ways


def assert_nothing(problem: Problem) -> None:
    """Parallel prompts span no plane: a reason is given, and nothing is certified."""
    arguments = (problem.scorer, *problem.arguments)
    partition, coverage = semantic_partition(*arguments), coverage_sweep(*arguments, [0.0, DELTA])
    assert_finite(partition, coverage)
    assert set(partition.reasons) == {Reason.PARALLEL}
    assert not bool(coverage.any() or partition.invariance.any() or partition.extent.any())
    assert not any(partition.intervals(i) for i in range(len(partition)))
    assert not any(stable_intervals(*arguments, DELTA))


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("tilt", "parallel"), [(0.0, True), (1e-8, True), (1e-7, True), (1e-5, False), (1e-3, False)])
def test_prompts_in_float32_are_parallel_to_their_precision(side: float, tilt: float, parallel: bool) -> None:
    for plane in range(PLANES):
        problem = varied("cosine", 10, plane, FEW, math.copysign(tilt, side))
        problem.source, problem.target = (x.astype(np.float32) for x in (problem.source, problem.target))
        partition = semantic_partition(problem.scorer, *problem.arguments)
        assert_finite(partition, partition.extent)
        assert (Reason.PARALLEL in partition.reasons) == parallel
        assert len(set(partition.reasons) & {Reason.NUMERICAL, Reason.NOT_FINITE}) == 0
        assert bool((partition.invariance == 0).all()) == parallel


def test_planes_of_each_image_are_those_of_one_call_each() -> None:
    rng = np.random.default_rng(5)
    problem = random_problem("poincare", 40, 6, 30, seed=3)
    features = torch.from_numpy(problem.images)
    source, target = torch.from_numpy(unit(rng, 30, 6)), torch.from_numpy(unit(rng, 30, 6))
    target[4] = 3 * source[4]
    target[5] = math.nan
    together = semantic_partition(problem.scorer, features, source, target)
    assert together.reasons[4] == Reason.PARALLEL
    assert together.intervals(4) == together.intervals(5) == []
    for i in range(30):
        scorer = problem.scorer.rows(slice(i, i + 1))
        alone = semantic_partition(scorer, features[i : i + 1], source[i], target[i])
        assert [label for *_, label in together.intervals(i)] == [label for *_, label in alone.intervals(0)]
        np.testing.assert_allclose(
            [p[:2] for p in together.intervals(i)], [p[:2] for p in alone.intervals(0)], atol=1e-12
        )
    with pytest.raises(ValueError, match="expected source and target"):
        semantic_partition(problem.scorer, features, source[:3], target)
