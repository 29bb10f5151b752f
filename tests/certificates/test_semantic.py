from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from semantic_problems import CURV, assert_no_nan, pairwise_intervals, random_problem, unit
from sweeps import sweep

from hrvlm.certificates import (
    Reason,
    SemanticPartition,
    image_extent,
    invariant_extent,
    semantic_partition,
)
from hrvlm.geometry import poincare

SIZES = [(2, 3), (3, 2), (5, 4), (10, 3), (30, 16), (100, 3), (300, 8), (300, 64)]


def labels_at(partition: SemanticPartition, i: int, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stated label at each angle, and the distance to the nearest break."""
    pieces = partition.intervals(i)
    sign = 1.0 if partition.stop[i] >= partition.start[i] else -1.0
    edges = sign * np.array([pieces[0][0]] + [piece[1] for piece in pieces])
    which = np.clip(np.searchsorted(edges, sign * angles) - 1, 0, len(pieces) - 1)
    near = np.abs(edges[:, None] - sign * angles).min(0)
    return np.array([piece[2] for piece in pieces])[which], near


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize(("num_classes", "dimension"), SIZES)
def test_labels_on_a_dense_grid(kind, num_classes, dimension):
    problem = random_problem(kind, num_classes, dimension, 64, seed=1)
    partition = semantic_partition(problem.scorer, *problem.arguments)
    assert partition.reasons == (None,) * 64
    assert {-1.0, 1.0} == set(torch.sign(partition.stop - partition.start).tolist())
    for i in range(64):
        angles = np.linspace(float(partition.start[i]), float(partition.stop[i]), 203)[1:-1]
        stated, near = labels_at(partition, i, angles)
        truth = problem.scores(problem.path(i, angles)).argmax(1)
        assert (stated == truth)[near > 1e-7].all()


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize(
    ("num_classes", "dimension", "num_images"),
    sweep([(2, 2, 250), (4, 3, 250), (40, 5, 100), (300, 4, 6)], quick=[(40, 5, 100)]),
)
def test_intervals_are_those_of_all_pairs(kind, num_classes, dimension, num_images):
    problem = random_problem(kind, num_classes, dimension, num_images, seed=2)
    partition = semantic_partition(problem.scorer, *problem.arguments)
    for i in range(num_images):
        start, stop = float(partition.start[i]), float(partition.stop[i])
        expected = pairwise_intervals(problem, i, start, stop)
        pieces = partition.intervals(i)
        assert [piece[2] for piece in pieces] == [piece[2] for piece in expected]
        np.testing.assert_allclose([p[:2] for p in pieces], [p[:2] for p in expected], atol=1e-9)
        # The range is covered without gaps, from start to stop, and the shares follow from the intervals.
        assert (pieces[0][0], pieces[-1][1]) == (start, stop)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
        first = pieces[0][2]
        share = sum(abs(b - a) for a, b, label in expected if label == first) / abs(stop - start)
        assert float(partition.invariance[i]) == pytest.approx(share, abs=1e-8)
        assert float(partition.extent[i]) == pytest.approx(abs(expected[0][1] - start), abs=1e-8)
        middle = np.array([(a + b) / 2 for a, b, _ in expected])
        weight, bias = problem.scorer.weight.numpy(), problem.scorer.rows(slice(i, i + 1)).bias.numpy()
        leads = np.sort(problem.path(i, middle) @ weight.T + bias, axis=1)
        assert float(partition.smallest_margin[i]) == pytest.approx((leads[:, -1] - leads[:, -2]).min(), abs=1e-8)


def test_the_way_round_is_the_shorter_one():
    problem = random_problem("cosine", 5, 6, 400, seed=3)
    partition = semantic_partition(problem.scorer, *problem.arguments)
    angle = math.acos(problem.source @ problem.target / np.linalg.norm(problem.source) / np.linalg.norm(problem.target))
    turn = partition.stop - partition.start
    assert turn.abs().max() <= math.pi
    torch.testing.assert_close(partition.stop.cos(), torch.full_like(turn, math.cos(angle)))
    torch.testing.assert_close(partition.stop.sin(), torch.full_like(turn, math.sin(angle)))
    assert (turn.abs() > 2).any()


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_just_outside_an_interval_the_label_changes(kind):
    problem = random_problem(kind, 50, 4, 200, seed=4)
    partition = semantic_partition(problem.scorer, *problem.arguments)
    step, checked = 1e-6, 0
    for i in range(200):
        pieces = partition.intervals(i)
        for (start, stop, label), (_, end, follower) in itertools.pairwise(pieces):
            if min(abs(stop - start), abs(end - stop)) < 10 * step:
                continue
            sign = math.copysign(step, stop - start)
            truth = problem.scores(problem.path(i, np.array([stop - sign, stop + sign]))).argmax(1)
            assert truth.tolist() == [label, follower]
            checked += 1
    assert checked > 100


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_invariant_extent_both_ways(kind):
    problem = random_problem(kind, 6, 3, 200, seed=5)
    extent = invariant_extent(problem.scorer, *problem.arguments)
    partition = semantic_partition(problem.scorer, *problem.arguments)
    assert extent.reasons == (None,) * 200
    for i in range(200):
        start = float(extent.start[i])
        label = problem.scores(problem.images[i : i + 1]).argmax()
        assert int(extent.label[i]) == label
        for end, side in ((float(extent.upper[i]), 1), (float(extent.lower[i]), -1)):
            inside = problem.scores(problem.path(i, np.linspace(start, end, 101)[1:-1])).argmax(1)
            assert (inside == label).all()
            if abs(end - start) < math.pi - 1e-4:
                assert problem.scores(problem.path(i, np.array([end + side * 1e-6]))).argmax() != label
            else:
                assert abs(end - start) <= math.pi + 1e-12
        forward = extent.upper[i] if partition.stop[i] > partition.start[i] else extent.lower[i]
        reach = min(abs(float(forward) - start), abs(float(partition.stop[i] - partition.start[i])))
        assert float(partition.extent[i]) == pytest.approx(reach, abs=1e-12)


def test_poincare_scorer_ranks_by_distance():
    problem = random_problem("poincare", 20, 5, 100, seed=6)
    points, texts = torch.from_numpy(problem.images), torch.from_numpy(problem.classes)
    nearest = torch.stack([poincare.distance(point, texts, CURV).argmin() for point in points])
    assert torch.equal(problem.scorer.predict(points), nearest)


def test_image_specified_extent():
    problem = random_problem("cosine", 8, 5, 50, seed=7)
    features, source, target = problem.arguments
    references = torch.from_numpy(unit(np.random.default_rng(0), 50, 5))
    extent = image_extent(references, source, target)
    partition = semantic_partition(problem.scorer, features, source, target, target_extent=extent)
    again = semantic_partition(problem.scorer, features, source, target, target_extent=extent.angle)
    assert torch.equal(partition.breaks, again.breaks)
    torch.testing.assert_close(partition.stop.cos(), extent.angle.cos())
    for i in range(50):
        end = problem.path(i, partition.stop[i : i + 1].numpy())[0]
        e1, e2 = problem.path(i, np.array([0.0, math.pi / 2])) - problem.path(i, np.array([math.pi, -math.pi / 2]))
        cosine = [x @ y / np.linalg.norm(y) for x in (end, references[i].numpy()) for y in (e1, e2)]
        assert math.atan2(cosine[1], cosine[0]) == pytest.approx(math.atan2(cosine[3], cosine[2]), abs=1e-9)
    outside = references - (references @ source / source.norm() ** 2)[:, None] * source
    second = target - (target @ source) / source.norm() ** 2 * source
    outside[1:] = references[1:]
    outside[0] -= outside[0] @ second / second.norm() ** 2 * second
    partial = semantic_partition(
        problem.scorer, features, source, target, target_extent=image_extent(outside, source, target)
    )
    assert partial.reasons == (Reason.NO_REFERENCE, *(None,) * 49)
    assert partial.intervals(0) == []
    assert float(partial.invariance[0]) == 0.0
    assert_no_nan(partial)
