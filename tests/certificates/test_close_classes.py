"""Nearly equal classes, against 50 digits: what is claimed is true of the very numbers given, and little left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from exact_semantics import Exact
from mpmath import mpf
from semantic_problems import CURV, Problem, random_problem
from sweeps import sweep
from test_semantic_evidence import of_problem, rows_of
from torch.utils._python_dispatch import TorchDispatchMode

from hrvlm.certificates import (
    AffineScorer,
    MarginRange,
    invariant_extent,
    mean_bounds,
    sample_extents,
    semantic_partition,
    stable_coverage,
    stable_intervals,
    uncertainty_intervals,
    verify_rows,
)
from hrvlm.certificates.embedding.close_classes import WeightDifferences
from hrvlm.certificates.embedding.close_sweep import _next

GAPS = [0.0, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-10, 1e-8, 1e-6]
SIZES = [(3, 2), (4, 3), (5, 64), (12, 4), (50, 16)]
CLOSE = 1e-8  # radians within which the ends of a claim are meant
NUM_IMAGES = 4


def close_problem(kind: str, gap: float, num_classes: int, dimension: int, seed: int) -> Problem:
    """Classes in threes that differ by `gap`, in a random order."""
    problem = random_problem(kind, num_classes, dimension, NUM_IMAGES, seed)
    rng = np.random.default_rng([seed, 7])
    centres = problem.classes[: -(-num_classes // 3)]
    classes = np.repeat(centres, 3, axis=0)[:num_classes]
    classes = classes + gap * rng.standard_normal(classes.shape) / np.sqrt(dimension)
    return Problem(kind, classes[rng.permutation(num_classes)], problem.images, problem.source, problem.target)


def cases() -> list[tuple[str, float, int, int]]:
    sizes = [(gap, *size) for gap in GAPS for size in SIZES[:4]]
    return [(kind, *case) for kind in ("cosine", "poincare") for case in sizes]


def exact(problem: Problem, i: int, **given: float) -> Exact:
    return Exact(
        problem.scorer.rows(slice(i, i + 1)), *(x if x.dim() == 1 else x[i] for x in problem.arguments), **given
    )


def travelled(pieces: list[tuple[float, float, int]], start: float) -> list[tuple[float, float, int]]:
    return [(abs(a - start), abs(b - start), label) for a, b, label in pieces]


@pytest.mark.parametrize(
    ("kind", "gap", "num_classes", "dimension"), sweep([*cases(), ("cosine", 1e-14, *SIZES[4])], quick=cases()[::5])
)
def test_labels_and_stable_parts_are_true(kind: str, gap: float, num_classes: int, dimension: int) -> None:
    problem = close_problem(kind, gap, num_classes, dimension, seed=3)
    delta = 0.1 if kind == "cosine" else 0.03
    partition = semantic_partition(problem.scorer, *problem.arguments)
    stable = {d: stable_intervals(problem.scorer, *problem.arguments, d) for d in (0.0, delta)}
    unsure = uncertainty_intervals(problem.scorer, *problem.arguments, delta)
    coverage = stable_coverage(problem.scorer, *problem.arguments, delta)
    certified = 0
    for i in range(NUM_IMAGES):
        truth, start, pieces = exact(problem, i), float(partition.start[i]), partition.intervals(i)
        for begin, end, label in travelled(pieces, start):
            assert truth.holds(label, begin, end, inside=CLOSE)
        for d, found in stable.items():
            for begin, end, label in travelled(found[i], start):
                assert truth.holds(label, begin, end, max(d, 1e-300), inside=CLOSE), (d, begin, end)
        share = truth.stable_share(delta)
        assert float(coverage[i]) <= share + 1e-7
        if pieces:
            certified += 1
            assert float(coverage[i]) >= share - 1e-5
            lengths = [sum(abs(b - a) for a, b, _ in part[i]) for part in (stable[delta], unsure)]
            assert sum(lengths) == pytest.approx(float(truth.length), abs=1e-12)
    assert certified >= NUM_IMAGES - 1


@pytest.mark.parametrize(("kind", "gap", "num_classes", "dimension"), sweep(cases(), quick=cases()[::5]))
def test_extents_are_true_and_hardly_shorter_than_they_are(
    kind: str, gap: float, num_classes: int, dimension: int
) -> None:
    problem = close_problem(kind, gap, num_classes, dimension, seed=5)
    found = invariant_extent(problem.scorer, *problem.arguments)
    labels, told = found.label.tolist(), 0
    for i in range(NUM_IMAGES):
        for sign, reach in ((-1, found.start - found.lower), (1, found.upper - found.start)):
            if found.reasons[i] is None:
                truth = exact(problem, i, length=float(np.pi), sign=sign)
                told += 1
                assert truth.holds(labels[i], 0.0, float(reach[i]), inside=CLOSE)
                if reach[i] < np.pi - CLOSE:
                    assert not truth.holds(labels[i], 0.0, float(reach[i]) + 1e-5)
    assert told >= 2 * (NUM_IMAGES - 1)
    points, source, target = problem.arguments
    for move in ("turn", "target"):
        for label in sorted(set(labels)):
            extents = sample_extents(problem.scorer, points, source, target, label, move=move)
            for i in (extents >= 0).nonzero().squeeze(1).tolist():
                truth = exact(problem, i, **({"length": float(np.pi)} if move == "turn" else {}))
                way = float(extents[i]) * (1.0 if move == "turn" else float(truth.length))
                assert truth.holds(label, 0.0, way, inside=CLOSE)


def test_a_class_that_ties_all_the_way_leaves_nothing_stable() -> None:
    """Unlike classes whose scores agree along the whole rotation: equal numbers in another order, and rounded."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        out = rng.standard_normal(6)
        classes = np.zeros((2, 8))
        classes[0, 2:], classes[1, 2:] = out, out[::-1]
        image = np.concatenate([rng.standard_normal(2), np.full(6, 1 / 3)])
        given = (torch.from_numpy(image)[None], *torch.eye(8, dtype=torch.float64)[:2])
        scorer = AffineScorer(torch.from_numpy(classes), torch.zeros(2))
        for delta in (0.0, 1e-17, 0.1):
            assert stable_coverage(scorer, *given, delta).tolist() == [0.0]
        assert stable_coverage(scorer, *given, 0.0, target_extent=float(np.arctan2(image[1], image[0]))).tolist() == [
            0.0
        ]


def test_ordinary_classes_take_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed otherwise where no class is close to another."""
    problem = random_problem("poincare", 40, 8, 30, 2)
    assert not problem.scorer.crowded.any()

    def refuse(*_: object) -> None:
        raise AssertionError("margins from differences of weights were asked for")

    for name in ("over_all", "each_over_all"):
        monkeypatch.setattr(WeightDifferences, name, refuse)
    semantic_partition(problem.scorer, *problem.arguments)
    stable_coverage(problem.scorer, *problem.arguments, 0.05)
    invariant_extent(problem.scorer, *problem.arguments)


@pytest.mark.parametrize("dimension", [2, 5, 300])
def test_close_classes_are_found(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    weight = rng.standard_normal((200, dimension))
    weight[150:160] = weight[20:30] + 1e-9
    weight[170] = weight[20] - 1e-7
    scorer = AffineScorer(torch.from_numpy(weight), torch.zeros(200))
    gaps = torch.cdist(scorer.distinct, scorer.distinct, compute_mode="donot_use_mm_for_euclid_dist")
    expected = (gaps.fill_diagonal_(1.0) <= scorer.closeness).any(dim=1)
    assert torch.equal(scorer.crowded, expected)
    assert expected.sum() >= 21
    assert AffineScorer.poincare(scorer.distinct[:1] / 1e3, 0.5, CURV).crowded.tolist() == [False]


class _Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor held that was made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else (made,):
            self.numbers = max(self.numbers, one.numel() if isinstance(one, torch.Tensor) else 0)
        return made


def test_close_classes_are_looked_for_without_all_pairs() -> None:
    """Scorers are made anew for every image: many ordinary classes must cost little more than their scores."""
    rng = np.random.default_rng(0)
    scorer = AffineScorer.cosine(torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((4000, 16)))))
    with _Largest() as largest:
        assert not scorer.crowded.any()
    assert largest.numbers <= 2 * scorer.distinct.numel()


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize("gap", GAPS)
def test_rows_of_close_classes_follow_from_what_they_hold(kind: str, gap: float) -> None:
    problem = close_problem(kind, gap, 9, 5, seed=11)
    rows = rows_of(of_problem(problem, deltas=(0.0, 0.03, 0.1)))
    assert verify_rows(rows) == []
    fine = [row for row in rows if row["margins"]]
    assert bool(fine) == any(0 < distance < 1e-4 for row in rows for *_, distance in row["distances"])
    for row in fine:
        k, j, *wave, error = row["margins"][0]
        for changed in ([k, j, *wave, error / 1e6], [k, j, *wave[:2], wave[2] + 1e-9, error]):
            assert verify_rows([row | {"margins": [changed, *row["margins"][1:]]}])


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
@pytest.mark.parametrize("gap", GAPS[1:])
def test_bounds_on_mean_margins_of_close_classes_are_true(kind: str, gap: float) -> None:
    """Every copy is the same point, so that its margin is the mean."""
    won = 0
    for seed in range(6):
        problem = close_problem(kind, gap, 2, 5, seed)
        texts, (points, source, target) = torch.from_numpy(problem.classes), problem.arguments
        possible = MarginRange.cosine(texts, 0) if kind == "cosine" else MarginRange.poincare(texts, 0, CURV)
        scorer = problem.scorer.rows(slice(0, 1))
        alike = AffineScorer(scorer.weight, scorer.bias[0] if scorer.bias.dim() == 2 else scorer.bias)
        given = {"longest": 1.0, "sigma": 1.0, "alpha": 0.1}
        found = mean_bounds(alike, points[:1].expand(200, -1), source, target, 0, possible, **given)
        truth = Exact(scorer, points[0], source, target, length=1.0).low(0, 1, mpf(0), mpf(0))
        assert found.radius(0.0) == 0 or truth > 0
        won += found.radius(0.0) > 0
    assert won > 0 or gap < 1e-12


def test_classes_that_overtake_each_other_in_a_circle_end_where_all_tries_would() -> None:
    rng = np.random.default_rng(0)
    for classes in [2, 3, 5, 12] * 20:
        better = [int(rng.choice([k for k in range(classes) if k != own])) for own in range(classes)]
        plain = found = 0
        for _ in range(classes - 1):
            plain = better[plain]
        tried, going = [found], True
        for _ in range(classes - 1):
            if going:
                found, going = _next(tried, better[found], classes)
        assert found == plain
