from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from semantic_problems import CURV, Problem, assert_no_nan, random_problem, unit

from hrvlm.certificates import (
    AffineScorer,
    Reason,
    check_semantic_dense,
    invariant_extent,
    semantic_partition,
    semantic_partitions,
)

SIZES = [(2, 3), (3, 2), (5, 4), (10, 3), (30, 16), (100, 3), (300, 8), (300, 64)]


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


@pytest.mark.slow
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
    monkeypatch.setattr("hrvlm.certificates.embedding.partition._CHUNK", 210)
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


@pytest.mark.parametrize("none", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_images_without_finite_scores_have_no_class_and_leave_the_others_alone(kind: str, none: float) -> None:
    problem = random_problem(kind, 6, 5, 4, seed=3)
    problem.classes[4] = problem.classes[1]  # duplicates
    features = problem.arguments[0]
    broken = features.clone()
    broken[2, 1] = none
    texts = torch.from_numpy(problem.classes)
    norms = broken.norm(dim=1)
    scorer = AffineScorer.cosine(texts) if kind == "cosine" else AffineScorer.poincare(texts, norms, CURV)
    assert scorer.first.tolist() == [0, 1, 2, 3, 5]
    assert scorer.repeated.tolist() == [False, True, False, False, False]
    expected = problem.scorer.predict(features)
    expected[2] = -1
    assert torch.equal(scorer.predict(broken), expected)


@pytest.mark.parametrize("none", [math.nan, math.inf, -math.inf])
def test_the_dense_check_refutes_intervals_of_scores_that_are_none(none: float) -> None:
    problem = random_problem("cosine", 4, 5, 1, seed=3)
    features, *prompts = problem.arguments
    partition = semantic_partition(problem.scorer, features, *prompts)
    stated = [partition.intervals(0)]
    assert check_semantic_dense(problem.scorer, features, *prompts, stated) == []
    broken = AffineScorer(problem.scorer.weight, torch.tensor([0.0, 0.0, none, 0.0]))
    found = check_semantic_dense(broken, features, *prompts, stated, samples=5)
    assert len(found) == 5 * len(stated[0])
    assert {violation.predicted for violation in found} == {-1}
