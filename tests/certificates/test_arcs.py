from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from semantic_problems import assert_no_nan, random_problem, unit

from hrvlm.certificates import (
    Reason,
    arc_alignment,
    coverage_sweep,
    embedding_line,
    fit_reference_arc,
    image_extent,
    pixel_line,
    proxy_agreement,
    rank_agreement,
    reference_partition,
    sampled_invariance,
    semantic_partition,
    stable_coverage,
    stable_intervals,
    uncertainty_intervals,
    wording_stability,
)


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_the_embedding_line_is_that_of_a_dense_walk(kind: str) -> None:
    problem = random_problem(kind, 30, 5, 40, seed=31)
    features, ends = torch.from_numpy(problem.images), unit(np.random.default_rng(1), 40, 5)
    partition = embedding_line(problem.scorer, features, torch.from_numpy(ends) * 3)
    shares = (np.arange(2000) + 0.5) / 2000
    assert partition.start.tolist() == [0.0] * 40
    assert partition.stop.tolist() == [1.0] * 40
    for i in range(40):
        norm = np.linalg.norm(problem.images[i])
        line = (1 - shares)[:, None] * problem.images[i] / norm + shares[:, None] * ends[i]
        line *= norm / np.linalg.norm(line, axis=1, keepdims=True)
        truth = problem.scores(line).argmax(1)
        pieces = partition.intervals(i)
        edges = np.array([piece[0] for piece in pieces] + [1.0])
        stated = np.array([piece[2] for piece in pieces])[np.searchsorted(edges, shares, side="right") - 1]
        clear = abs(edges[:, None] - shares).min(0) > 1e-7
        assert (stated == truth)[clear].all()
        assert float(partition.invariance[i]) == pytest.approx((truth == truth[0]).mean(), abs=2e-3 * len(pieces))
        assert float(partition.extent[i]) == pytest.approx(pieces[0][1], abs=1e-12)


def test_lines_without_length_or_direction() -> None:
    problem = random_problem("cosine", 6, 4, 5, seed=32)
    features = torch.from_numpy(problem.images)
    ends = features.flip(0).clone()
    ends[0], ends[1], ends[3], ends[4] = 2 * features[0], -features[1], math.nan, 0.0
    partition = embedding_line(problem.scorer, features, ends)
    why = (Reason.EMPTY_RANGE, Reason.PARALLEL, Reason.EMPTY_RANGE, Reason.NOT_FINITE, Reason.NOT_FINITE)
    assert partition.reasons == why
    assert partition.invariance.tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]
    assert partition.intervals(0) == [(0.0, 0.0, int(problem.scorer.predict(features)[0]))]
    assert_no_nan(partition)
    with pytest.raises(ValueError, match="expected references"):
        embedding_line(problem.scorer, features, ends[:2])


def test_an_arc_is_fitted_to_pictures_on_it() -> None:
    rng = np.random.default_rng(2)
    start, way = unit(rng, 20, 6), rng.standard_normal((20, 6))
    way -= (way * start).sum(1, keepdims=True) * start
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    angles = np.array([0.0, 0.2, 0.7, 1.3])
    points = 0.6 * (np.cos(angles)[:, None] * start[:, None] + np.sin(angles)[:, None] * way[:, None])
    points[:, 1:] *= rng.uniform(0.5, 2, (20, 3, 1))  # norms of the later pictures do not matter
    arc = fit_reference_arc(torch.from_numpy(points))
    np.testing.assert_allclose(arc.stop, 1.3, atol=1e-9)
    np.testing.assert_allclose(arc.fit, 1.0, atol=1e-12)
    np.testing.assert_allclose(arc.rotation.plane.e2, way, atol=1e-9)
    noisy = points / np.linalg.norm(points, axis=-1, keepdims=True) + 0.05 * rng.standard_normal(points.shape)
    noisy[:, 0] = points[:, 0]
    arc = fit_reference_arc(torch.from_numpy(noisy))
    directions = noisy / np.linalg.norm(noisy, axis=-1, keepdims=True)

    def distance(way: np.ndarray) -> np.ndarray:
        inside = sum((directions * axis[:, None]).sum(-1, keepdims=True) * axis[:, None] for axis in (start, way))
        return ((directions - inside) ** 2).sum((1, 2))

    best = distance(arc.rotation.plane.e2.numpy())
    for _ in range(30):  # no other plane through the first picture is nearer
        other = arc.rotation.plane.e2.numpy() + 0.05 * rng.standard_normal(way.shape)
        other -= (other * start).sum(1, keepdims=True) * start
        assert (distance(other / np.linalg.norm(other, axis=1, keepdims=True)) >= best - 1e-12).all()


def test_reference_partition_and_alignment() -> None:
    problem = random_problem("poincare", 25, 5, 30, seed=33)
    features, source, target = problem.arguments
    ends = torch.from_numpy(unit(np.random.default_rng(3), 30, 5))
    arc = fit_reference_arc(torch.stack([features, ends], dim=1))
    line, reference = embedding_line(problem.scorer, features, ends), reference_partition(problem.scorer, arc)
    for i in range(30):  # the arc to one picture is the line to it, seen by angles
        assert [p[2] for p in line.intervals(i)] == [p[2] for p in reference.intervals(i)]
    still = fit_reference_arc(features[:, None].expand(-1, 3, -1))
    assert set(reference_partition(problem.scorer, still).reasons) == {Reason.EMPTY_RANGE}
    broken = torch.stack([features, ends], dim=1)
    broken[0, 1, 0] = math.nan
    partition = reference_partition(problem.scorer, fit_reference_arc(broken))
    assert partition.reasons[:2] == (Reason.NOT_FINITE, None)
    assert_no_nan(partition)
    # Pictures that do lie on the rotation are aligned with it wholly; the range ends at the last one's angle.
    rotated = np.stack([problem.path(i, np.array([0.9]))[0] for i in range(30)])
    whole = arc_alignment(features, source, target, _along(problem, features, rotated), target_extent=0.9)
    inside = semantic_partition(problem.scorer, features, source, target).start
    assert bool((whole <= 1).all())
    assert bool(inside.isfinite().all())
    flat = torch.cat([features[:, :0], features], dim=1)
    own = fit_reference_arc(torch.stack([flat, flat], dim=1))
    extent = semantic_partition(problem.scorer, features, source, target).start
    torch.testing.assert_close(
        arc_alignment(features, source, target, own, target_extent=extent), torch.ones(30).double()
    )


def _along(problem, features, rotated):
    return fit_reference_arc(torch.stack([features, torch.from_numpy(rotated)], dim=1))


def test_image_specified_and_swept_coverage() -> None:
    problem = random_problem("cosine", 20, 5, 40, seed=34)
    features, source, target = problem.arguments
    extent = image_extent(torch.from_numpy(unit(np.random.default_rng(4), 40, 5)), source, target)
    deltas = [0.0, 0.01, 0.05, 0.4]
    for given in (None, extent):
        sweep = coverage_sweep(problem.scorer, *problem.arguments, deltas, target_extent=given)
        for row, delta in zip(sweep, deltas, strict=True):
            assert torch.equal(row, stable_coverage(problem.scorer, *problem.arguments, delta, target_extent=given))
        partition = semantic_partition(problem.scorer, features, source, target, target_extent=given)
        stable = stable_intervals(problem.scorer, *problem.arguments, 0.05, target_extent=given)
        unsure = uncertainty_intervals(problem.scorer, *problem.arguments, 0.05, target_extent=given)
        for i in range(40):  # together they cover the range once, under the labels of the partition
            sign = 1 if partition.stop[i] >= partition.start[i] else -1
            both = sorted([*stable[i], *unsure[i]], key=lambda piece: sign * piece[0])
            assert both[0][0] == pytest.approx(float(partition.start[i]))
            assert both[-1][1] == pytest.approx(float(partition.stop[i]))
            np.testing.assert_allclose([p[1] for p in both[:-1]], [p[0] for p in both[1:]], atol=1e-9)
            for a, b, label in unsure[i]:
                middle = problem.path(i, np.array([(a + b) / 2]))
                assert problem.scores(middle).argmax() == label
    with pytest.raises(ValueError, match="expected delta"):
        coverage_sweep(problem.scorer, *problem.arguments, [0.1, math.inf])


def test_the_pixel_line_is_sampled() -> None:
    images, references = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    found = pixel_line(lambda x: (x.mean(dim=(1, 2, 3)) > 0.45).long(), images, references, samples=11)
    assert found.labels.tolist() == [[0] * 5 + [1] * 6] * 2
    assert found.invariance.tolist() == [pytest.approx(0.45)] * 2
    assert not found.certified
    assert sampled_invariance(torch.tensor([[1, 1, 1], [0, 1, 0]])).tolist() == [1.0, 0.5]
    with pytest.raises(ValueError, match="samples >= 2"):
        pixel_line(lambda x: x[:, 0, 0, 0], images, references, samples=1)


def test_rank_agreement_is_the_correlation_of_mean_ranks() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.integers(0, 5, (50, 7)).astype(float), rng.standard_normal((50, 7))
    found = rank_agreement(torch.from_numpy(first), torch.from_numpy(second))

    def ranks(values: np.ndarray) -> list[float]:
        return [float((values < value).sum() + (values == value).sum() / 2) for value in values]

    expected = [np.corrcoef(ranks(a), ranks(b))[0, 1] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert math.isnan(rank_agreement(torch.ones(4), torch.arange(4.0)))
    assert math.isnan(rank_agreement(torch.tensor([1.0, math.nan]), torch.arange(2.0)))


def test_prompts_that_lie_as_pictures_do_agree() -> None:
    rng = np.random.default_rng(6)
    base, way = torch.from_numpy(unit(rng, 4, 5)), torch.from_numpy(rng.standard_normal((4, 5)))
    steps = torch.tensor([0.1, 0.5, 0.9, 1.4]).double()
    others = base[:, None] + steps[:, None] * way[:, None]
    assert proxy_agreement(base, others, 2 * base, 3 * others).tolist() == [pytest.approx(1.0)] * 4
    assert proxy_agreement(base, others, base, others.flip(1)).tolist() == [pytest.approx(-1.0)] * 4


def test_wordings_that_are_the_same_agree() -> None:
    problem = random_problem("cosine", 12, 6, 25, seed=35)
    features, source, target = problem.arguments
    other = (source, torch.from_numpy(unit(np.random.default_rng(7), 6)))
    found = wording_stability(problem.scorer, features, [(source, target), (3 * source, source + 2 * target), other])
    assert found.invariance.shape == (3, 25)
    spread = found.invariance.amax(0) - found.invariance.amin(0)
    torch.testing.assert_close(found.spread, spread)
    torch.testing.assert_close(found.alignment.diagonal(), torch.ones(3).double())
    assert found.alignment[0, 1] > found.alignment[0, 2]
    with pytest.raises(ValueError, match="at least one wording"):
        wording_stability(problem.scorer, features, [])
