from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from semantic_problems import CURV, Problem, pairwise_intervals, random_problem, unit

from hrvlm.certificates import (
    AffineScorer,
    Reason,
    SemanticPartition,
    image_extent,
    invariant_extent,
    semantic_partition,
    semantic_partitions,
)
from hrvlm.geometry import poincare

SIZES = [(2, 3), (3, 2), (5, 4), (10, 3), (30, 16), (100, 3), (300, 8), (300, 64)]


def assert_no_nan(partition: SemanticPartition) -> None:
    for name in ("start", "stop", "invariance", "extent", "smallest_margin", "breaks"):
        assert not getattr(partition, name).isnan().any(), name


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
    ("num_classes", "dimension", "num_images"), [(2, 2, 250), (4, 3, 250), (40, 5, 100), (300, 4, 6)]
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


def test_identical_classes_lowest_index_wins():
    problem = random_problem("cosine", 40, 3, 300, seed=8)
    classes = np.concatenate([problem.classes, problem.classes[::-1]])
    doubled = Problem("cosine", classes, problem.images, problem.source, problem.target)
    single = semantic_partition(problem.scorer, *problem.arguments)
    double = semantic_partition(doubled.scorer, *doubled.arguments)
    assert torch.equal(single.labels, double.labels)
    torch.testing.assert_close(single.breaks, double.breaks)
    assert (double.smallest_margin == 0).all()
    assert (single.smallest_margin > 0).all()
    assert torch.equal(doubled.scorer.predict(doubled.arguments[0]), single.label)
    same = AffineScorer.cosine(torch.from_numpy(classes[:1]).expand(7, 3))
    alone = semantic_partition(same, *problem.arguments)
    assert (alone.label == 0).all()
    assert (alone.invariance == 1).all()
    assert (alone.smallest_margin == 0).all()


@pytest.mark.parametrize("num_classes", [3, 50, 200])
def test_many_classes_crossing_in_one_point(num_classes):
    slopes = np.linspace(-1, 1, num_classes)
    meeting = 0.4321
    weight = np.stack([-slopes * math.sin(meeting), slopes * math.cos(meeting), np.full(num_classes, 0.3)], axis=1)
    order = np.random.default_rng(0).permutation(num_classes)
    scorer = AffineScorer(torch.from_numpy(weight[order]), torch.zeros(num_classes, dtype=torch.float64))
    image = torch.tensor([[math.cos(-0.2), math.sin(-0.2), 1.0]], dtype=torch.float64)
    source, target = torch.tensor([1.0, 0, 0]).double(), torch.tensor([math.cos(1.0), math.sin(1.0), 0]).double()
    partition = semantic_partition(scorer, image, source, target)
    long = [piece for piece in partition.intervals(0) if abs(piece[1] - piece[0]) > 1e-12]
    assert [order[piece[2]] for piece in long] == [0, num_classes - 1]
    assert long[0][1] == pytest.approx(meeting, abs=1e-12)
    # An image that sits in that very point: what follows is certified all the same.
    image = torch.tensor([[math.cos(meeting), math.sin(meeting), 1.0]], dtype=torch.float64)
    tied = semantic_partition(scorer, image, source, target)
    assert tied.reasons == (None,)
    assert order[tied.intervals(0)[-1][2]] == num_classes - 1
    assert_no_nan(tied)


def test_nearly_identical_classes_end_and_cover():
    rng = np.random.default_rng(9)
    classes = np.repeat(unit(rng, 5, 4), 20, axis=0) + rng.standard_normal((100, 4)) * 1e-16
    problem = Problem("cosine", classes, unit(rng, 300, 4), unit(rng, 4), unit(rng, 4))
    partition = semantic_partition(problem.scorer, *problem.arguments)
    assert_no_nan(partition)
    for i, reason in enumerate(partition.reasons):
        assert reason in (None, Reason.NUMERICAL)
        for start, stop, label in partition.intervals(i):
            scores = problem.scores(problem.path(i, np.linspace(start, stop, 20)))
            assert (scores[:, label] >= scores.max(1) - 1e-14).all()
    assert sum(reason is None for reason in partition.reasons) > 250


def test_parallel_prompts_certify_nothing():
    problem = random_problem("cosine", 4, 5, 3, seed=10)
    features, source, _ = problem.arguments
    for target in (source, -2 * source, torch.zeros_like(source)):
        partition = semantic_partition(problem.scorer, features, source, target)
        assert partition.reasons == (Reason.PARALLEL,) * 3
        assert partition.invariance.tolist() == [0.0] * 3
        assert [partition.intervals(i) for i in range(3)] == [[]] * 3
        assert torch.equal(partition.label, problem.scorer.predict(features))
        assert_no_nan(partition)
        assert invariant_extent(problem.scorer, features, source, target).reasons == (Reason.PARALLEL,) * 3


def test_image_orthogonal_to_the_plane_is_constant():
    scorer = AffineScorer.cosine(torch.eye(4))
    features = torch.tensor([[0.0, 0.0, 0.6, 0.8], [0.6, 0.0, 0.0, 0.8]])
    partition = semantic_partition(scorer, features, torch.eye(4)[0], torch.eye(4)[1])
    assert partition.reasons == (Reason.CONSTANT, None)
    assert partition.invariance[0] == 1.0
    assert partition.intervals(0) == [(0.0, pytest.approx(math.pi / 2), 3)]
    extent = invariant_extent(scorer, features, torch.eye(4)[0], torch.eye(4)[1])
    assert (float(extent.lower[0]), float(extent.upper[0])) == (-math.pi, math.pi)


def test_empty_range():
    problem = random_problem("cosine", 4, 5, 3, seed=11)
    features, source, target = problem.arguments
    start = semantic_partition(problem.scorer, features, source, target).start
    partition = semantic_partition(problem.scorer, features, source, target, target_extent=start)
    assert partition.reasons == (Reason.EMPTY_RANGE,) * 3
    assert partition.invariance.tolist() == [1.0] * 3
    assert partition.intervals(0) == [(float(start[0]), float(start[0]), int(partition.label[0]))]


def test_half_a_turn_is_certified_whole():
    problem = random_problem("cosine", 20, 3, 100, seed=12)
    features, source, target = problem.arguments
    start = semantic_partition(problem.scorer, features, source, target).start
    partition = semantic_partition(problem.scorer, features, source, target, target_extent=start + math.pi)
    torch.testing.assert_close((partition.stop - start).abs(), torch.full_like(start, math.pi))
    assert partition.reasons == (None,) * 100


def test_what_is_not_finite_certifies_nothing():
    problem = random_problem("cosine", 6, 4, 5, seed=13)
    features, source, target = problem.arguments
    good = semantic_partition(problem.scorer, features, source, target)
    features[1, 2], features[3, 0] = math.nan, math.inf
    partition = semantic_partition(problem.scorer, features, source, target)
    assert [reason is None for reason in partition.reasons] == [True, False, True, False, True]
    assert partition.label.tolist()[1::2] == [-1, -1]
    assert partition.intervals(1) == partition.intervals(3) == []
    assert partition.intervals(4) == good.intervals(4)
    assert_no_nan(partition)
    angles = torch.tensor([0.1, math.nan, 0.2, 0.3, math.inf])
    partition = semantic_partition(
        problem.scorer, problem.arguments[0][[0, 0, 2, 2, 4]], source, target, target_extent=angles
    )
    assert partition.reasons == (None, Reason.NOT_FINITE, None, None, Reason.NOT_FINITE)
    assert_no_nan(partition)
    broken = AffineScorer(torch.full((3, 4), math.nan), torch.zeros(3))
    assert set(semantic_partition(broken, features, source, target).reasons) == {Reason.NOT_FINITE}
    bad_prompt = semantic_partition(problem.scorer, problem.arguments[0], source * math.nan, target)
    assert bad_prompt.invariance.sum() == 0
    assert_no_nan(bad_prompt)


def test_chunks_and_batches_agree(monkeypatch):
    problem = random_problem("poincare", 30, 6, 40, seed=14)
    whole = semantic_partition(problem.scorer, *problem.arguments)
    monkeypatch.setattr("hrvlm.certificates.intervals._CHUNK", 210)
    parts = semantic_partition(problem.scorer, *problem.arguments)
    assert torch.equal(whole.labels, parts.labels)
    for name in ("start", "stop", "breaks", "invariance", "extent", "smallest_margin"):
        torch.testing.assert_close(getattr(whole, name), getattr(parts, name), rtol=0, atol=1e-13)


def test_many_statements_and_no_images():
    problem = random_problem("cosine", 9, 4, 10, seed=15)
    features, source, target = problem.arguments
    scorers = {("tree", 0): problem.scorer, ("tree", 1): AffineScorer.cosine(problem.scorer.weight[:3])}
    found = semantic_partitions(scorers, features, {"colour": (source, target), "size": (target, source)})
    assert set(found) == {(key, name) for key in scorers for name in ("colour", "size")}
    expected = semantic_partition(scorers["tree", 1], features, target, source)
    assert torch.equal(found[("tree", 1), "size"].breaks, expected.breaks)
    assert len(semantic_partition(problem.scorer, features[:0], source, target)) == 0


def test_single_class():
    problem = random_problem("cosine", 1, 4, 10, seed=16)
    partition = semantic_partition(problem.scorer, *problem.arguments)
    assert (partition.invariance == 1).all()
    assert partition.smallest_margin.isinf().all()


def test_errors_say_what_was_expected():
    scorer = AffineScorer.cosine(torch.eye(3))
    with pytest.raises(ValueError, match="expected features of shape"):
        semantic_partition(scorer, torch.ones(2, 4), torch.ones(3), torch.eye(3)[0])
    with pytest.raises(ValueError, match="expected target_extent"):
        semantic_partition(scorer, torch.eye(3), torch.ones(3), torch.eye(3)[0], target_extent=torch.zeros(2))
    with pytest.raises(ValueError, match="unit length"):
        AffineScorer.cosine(2 * torch.eye(3))
    with pytest.raises(ValueError, match="expected bias"):
        AffineScorer(torch.eye(3), torch.zeros(2))
    with pytest.raises(ValueError, match="expected 4 features"):
        semantic_partition(AffineScorer(torch.eye(3), torch.zeros(4, 3)), torch.eye(3), torch.ones(3), torch.eye(3)[0])
