"""Stretches at several thresholds at once, against those of each threshold by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from semantic_problems import random_problem

from hrvlm.certificates import AffineScorer, ThresholdScale
from hrvlm.certificates.embedding.envelope import ROUNDING
from hrvlm.certificates.embedding.envelope_kernels import failures
from hrvlm.certificates.embedding.rotation import ImageExtent, Rotation
from hrvlm.certificates.kinds.semantic.calibrated_extent import FirstStretches
from hrvlm.certificates.kinds.semantic.calibrated_levels import AskedMargins, Level, level_reaches
from hrvlm.certificates.kinds.semantic.certify import along_rotation
from hrvlm.certificates.kinds.semantic.speed import PathSpeed
from hrvlm.certificates.kinds.semantic.speed_kernels import shares_of

SCALES = [ThresholdScale(), ThresholdScale("margin"), ThresholdScale("weights", 3.0), ThresholdScale("margin", 2.0)]
CHANGES = 30


def scorers(kind: str) -> list[AffineScorer]:
    """Levels of 60, 5, 1 and 7 classes; of the last, two are the same and two nearly so."""
    levels = [random_problem(kind, count, 5, CHANGES, seed=10) for count in (60, 5, 1, 7)]
    found = [level.scorer for level in levels]
    weight, bias = found[-1].weight.clone(), found[-1].bias.clone()
    weight[1], weight[3] = weight[0], weight[2] + 1e-6
    bias[..., 1], bias[..., 3] = bias[..., 0], bias[..., 2]
    return [*found[:-1], AffineScorer(weight, bias)]


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize("scales", [SCALES, 4 * [ThresholdScale("margin", -0.9)]], ids=["several", "falling"])
def test_levels_and_thresholds_at_once_reach_as_far_as_each_by_itself(kind: str, scales: list[ThresholdScale]) -> None:
    rotation = Rotation.tolerant(*random_problem(kind, 60, 5, CHANGES, seed=10).arguments)
    levels = []
    for scorer in scorers(kind):
        partition = along_rotation(scorer, rotation)
        levels.append(Level(scorer, rotation, None, partition, rotation.sinusoids(scorer, partition.direction)))
    draw, ended, cut = np.random.default_rng(1), set[tuple[int, int]](), 0
    weights = np.array([[scale.unit == "weights" for scale in scales]]).repeat(CHANGES, axis=0)
    growth = np.array([[scale.growth for scale in scales]]).repeat(CHANGES, axis=0)
    thresholds = draw.random((len(levels), CHANGES, 4)) * np.array([0.1, 0.2, 0.3, 0.0])
    found = level_reaches(levels, AskedMargins(thresholds, np.stack(4 * [weights]), np.stack(4 * [growth])))
    for place, level in enumerate(levels):
        alone = FirstStretches(level.scorer, rotation, level.partition)
        for row, scale in enumerate(scales):
            reached, ending = alone.reach(torch.from_numpy(thresholds[place, :, row]), scale)
            assert np.allclose(found.extent[place, :, row], reached.numpy(), rtol=0, atol=1e-12)
            within = (reached < alone.whole - 1e-12).numpy()  # at the end itself rounding decides whether it is met
            assert np.array_equal(found.other[place, within, row], ending.numpy()[within])
            ended |= {(place, int(other)) for other in ending[within]}
            cut += int((within & (reached > 0).numpy()).sum())
        ends = found.ends[place * CHANGES : (place + 1) * CHANGES]
        assert [sorted(other for other, *_ in some) for some in ends] == [
            sorted(set(row) - {-1}) for row in found.other[place].tolist()
        ]
    assert len(ended) > 12
    assert cut > 0


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_many_changes_of_one_image_reach_as_far_as_each_by_itself(kind: str) -> None:
    problem, draw = random_problem(kind, 40, 6, 1, seed=4), np.random.default_rng(5)
    given = torch.from_numpy(draw.normal(size=(2, CHANGES, 6)))
    features = problem.arguments[0].expand(CHANGES, -1)
    rotation = Rotation.tolerant(features, *given)
    scorer = AffineScorer(problem.scorer.weight, problem.scorer.bias.reshape(-1, 40)[0])
    partition = along_rotation(scorer, rotation)
    level = Level(scorer, rotation, None, partition, rotation.sinusoids(scorer, partition.direction))
    asked = 0.3 * draw.random((2, CHANGES, 3))
    found = level_reaches([level, level], AskedMargins(asked, asked > 0, np.zeros_like(asked)))
    for place, m in np.ndindex(2, 3):
        reached, _ = FirstStretches(scorer, rotation, partition).reach(
            torch.from_numpy(asked[place, :, m]), ThresholdScale()
        )
        assert np.allclose(found.extent[place, :, m], reached.numpy(), rtol=0, atol=1e-12)
    assert 0 < (found.extent > 0).sum() < found.extent.size


def test_what_ends_a_stretch_is_met_there() -> None:
    rotation = Rotation.tolerant(*random_problem("cosine", 60, 5, CHANGES, seed=10).arguments)
    asked, met = np.full((1, CHANGES, 1), 0.02), 0
    for scorer in scorers("cosine"):
        partition = along_rotation(scorer, rotation)
        level = Level(scorer, rotation, None, partition, rotation.sinusoids(scorer, partition.direction))
        found = level_reaches([level], AskedMargins(asked, np.ones_like(asked, dtype=bool), np.zeros_like(asked)))
        for at, other, ends in zip(found.extent[0, :, 0], found.other[0, :, 0], found.ends, strict=True):
            if at > 0 and other >= 0:
                ((named, a, b, c, error, distance),) = ends
                assert named == other
                left = a * math.cos(at) + b * math.sin(at) + c
                assert left == pytest.approx(0.02 * distance + error, abs=1e-12)
                met += 1
    assert met > 10


def test_where_no_threshold_is_asked_nothing_is_claimed() -> None:
    rotation = Rotation.tolerant(*random_problem("cosine", 60, 5, CHANGES, seed=10).arguments)
    scorer = scorers("cosine")[0]
    partition = along_rotation(scorer, rotation)
    level = Level(scorer, rotation, None, partition, rotation.sinusoids(scorer, partition.direction))
    asked = np.zeros((1, CHANGES, 2))
    asked[0, ::2, 1] = math.nan
    found = level_reaches([level], AskedMargins(asked, np.ones_like(asked, dtype=bool), np.zeros_like(asked)))
    assert np.array_equal(found.extent[0, 1::2, 1], found.extent[0, 1::2, 0])
    assert not found.extent[0, ::2, 1].any()
    assert (found.other[0, ::2, 1] == -1).all()
    assert found.extent[0, ::2, 0].any()


def test_stretches_do_not_depend_on_the_unit_of_scores_even_where_margins_just_touch_what_is_asked() -> None:
    draw, count = np.random.default_rng(3), 400
    cosine, sine, offset = draw.random(count), -draw.random(count), 1.5 + draw.random(count)
    touching = offset - np.sqrt(cosine * cosine + sine * sine)
    asked = touching[None, :, None] * (1 + np.arange(-4, 5) * 2.0**-52)  # a calibration finds thresholds like these

    def reached(unit: float) -> np.ndarray:
        scores = tuple(unit * np.stack([part, np.zeros(count)], axis=1) for part in (cosine, sine, offset))
        return failures(
            scores, np.array([0, 2]), np.zeros((1, count), dtype=np.int64), np.zeros((1, count), dtype=bool),
            np.ones((1, 2)), np.zeros((1, 2)), np.full((1, count), math.pi),
            (unit * asked, asked < 0, np.zeros_like(asked)), np.array([ROUNDING]),
        )[0][0]  # fmt: skip

    extent = reached(1.0)
    assert (extent[:, -1] < math.pi).all()  # not even rounding hides that these thresholds are more
    assert (extent == math.pi).any()
    for unit in (2.0**-400, 2.0**30, 2.0**400):  # by which numbers multiply without rounding
        assert np.array_equal(reached(unit), extent)


@pytest.mark.parametrize("far", [math.inf, math.nan])
@pytest.mark.parametrize("weighed", [True, False])
def test_over_a_class_whose_distance_is_no_number_no_margin_is_enough(far: float, weighed: bool) -> None:
    scores = tuple(np.array([part]) for part in ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [9.0, 1.0, 2.0]))
    asked = np.array([[[0.0, 0.1, math.nan]]])
    extent, ended, *_ = failures(
        scores, np.array([0, 3]), np.zeros((1, 1), dtype=np.int64), np.zeros((1, 1), dtype=bool),
        np.array([[0.0, far, 1.0]]), np.zeros((1, 3)), np.ones((1, 1)),
        (asked, np.full(asked.shape, weighed), np.zeros_like(asked)), np.array([ROUNDING]),
    )  # fmt: skip
    assert not extent.any()
    assert ended.tolist() == [[[1, 1, -1]]]


def tied_problem() -> tuple[Rotation, list[AffineScorer]]:
    """A level whose label ties with another class all the way, up to rounding, and one of 5 classes besides."""
    draw = torch.Generator().manual_seed(2)
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=draw)).Q
    flat = torch.randn(CHANGES + 3, 6, dtype=torch.float64, generator=draw)
    flat[:, 5] = 0
    flat = flat / flat.norm(dim=1, keepdim=True)
    first, second = flat[-1].clone(), flat[-1].clone()
    first[5], second[5] = 0.5, -0.5  # they differ where no image and no prompt is
    features, source, target = (part @ turn for part in (flat[:CHANGES], flat[-3], flat[-2]))
    tied = torch.stack([first, second]) @ turn
    return Rotation.tolerant(features, source, target), [
        AffineScorer(tied, torch.zeros(2)),
        random_problem("cosine", 5, 6, CHANGES, seed=3).scorer,
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_scores_that_are_not_finite_claim_nothing_and_bear_on_no_other_level(bad: float, place: int, part: str) -> None:
    rotation, (tied, other) = tied_problem()
    start = along_rotation(other, rotation).start
    near = ImageExtent(start + 5e-9, torch.ones_like(start, dtype=torch.bool))  # no label is told apart on less
    broken = {"weight": other.weight.clone(), "bias": other.bias.clone()}
    broken[part][place] = bad
    levels = []
    for scorer in (tied, AffineScorer(**broken), other):
        partition = along_rotation(scorer, rotation, target_extent=near)
        levels.append(Level(scorer, rotation, near, partition, rotation.sinusoids(scorer, partition.direction)))
    asked = np.zeros((3, CHANGES, 1))
    found = level_reaches(levels, AskedMargins(asked, np.ones_like(asked, dtype=bool), asked))
    for extent, level in zip(found.extent[:, :, 0], levels, strict=True):
        alone, _ = FirstStretches(level.scorer, rotation, level.partition).reach(0.0, ThresholdScale())
        assert np.allclose(extent, alone.numpy(), rtol=0, atol=1e-15)
    assert not found.extent[:2].any()
    assert (found.extent[2] > 0).any()
    assert (found.other[1] == -1).all()
    assert bool((levels[0].partition.extent > 0).any())  # rounding alone tells the label of the tie


def test_other_biases_make_the_scorer_that_they_would_make_anew() -> None:
    for scorer in scorers("poincare"):
        bias = scorer.bias[3]
        found, anew = scorer.with_bias(bias), AffineScorer(scorer.weight, bias)
        for name in ("weight", "bias", "first", "repeated", "distinct", "crowded"):
            assert torch.equal(getattr(found, name), getattr(anew, name))
    apart = AffineScorer(torch.ones(2, 3), torch.tensor([0.0, 1.0]))  # told apart by their biases alone
    assert len(apart.first) == 2
    assert apart.with_bias(torch.zeros(2)).first.tolist() == [0]


def test_shares_of_many_speeds_are_those_of_each() -> None:
    speeds = [PathSpeed(), PathSpeed((0.0, 0.25, 0.5, 1.0), (0.0, 0.1, 0.1, 0.8)), PathSpeed((0.0, 2.0), (0.0, 0.5))]
    padded = np.array(
        [[(*k, *[k[-1]] * (4 - len(k))) for k in (one.shares, one.fractions)] for one in speeds for _ in range(41)]
    )
    fraction = np.tile(np.linspace(0, 1, 41), 3)
    found = shares_of(fraction * 0.5, np.full(len(fraction), 0.5), padded[:, 0].copy(), padded[:, 1].copy())
    alone = [min(1.0, speed.share_of(x)) for speed in speeds for x in fraction[:41].tolist()]
    assert found.tolist() == alone
    assert max(alone) == 1.0
    assert not shares_of(np.array([0.3, 0.0]), np.zeros(2), padded[:2, 0], padded[:2, 1]).any()  # of no way at all
