"""Python numbers are taken as the float64 they are: nothing of them is rounded to float32 on the way."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import mpmath
import pytest
import torch
from semantic_problems import CURV, random_problem

from hrvlm import certificates, geometry
from hrvlm.certificates import AffineScorer, coverage_sweep, semantic_partition, stable_intervals
from hrvlm.geometry import poincare, sphere


def nearest_changes_at(points: torch.Tensor, norm: float, curv: float) -> mpmath.mpf:
    """Angle from the first axis at which the nearest of two points of the ball changes, for images of a norm."""
    with mpmath.workdps(40):
        squares = [mpmath.fsum(mpmath.mpf(x) ** 2 for x in row) for row in points.tolist()]
        factors = [1 / (1 - mpmath.mpf(curv) * square) for square in squares]
        first, second = (
            [2 * factor * mpmath.mpf(x) for x in row] for factor, row in zip(factors, points.tolist(), strict=True)
        )
        size = mpmath.mpf(norm) ** 2
        offsets = [-(size + square) * factor for square, factor in zip(squares, factors, strict=True)]

        def margin(angle: mpmath.mpf) -> mpmath.mpf:
            place = (mpmath.mpf(norm) * mpmath.cos(angle), mpmath.mpf(norm) * mpmath.sin(angle))
            return sum((a - b) * x for a, b, x in zip(first, second, place, strict=True)) + offsets[0] - offsets[1]

        return mpmath.findroot(margin, (0.2, 1.4), solver="anderson")


@pytest.mark.parametrize("curv", [1.0, 0.3])
def test_boundaries_of_poincare_classes_are_those_of_the_norm_that_was_given(curv: float) -> None:
    points = torch.tensor([[0.7, 0.1], [0.3, 0.5]], dtype=torch.float64)
    image = torch.tensor([[0.8, 0.0]], dtype=torch.float64)
    axes = torch.eye(2, dtype=torch.float64)
    partition = semantic_partition(AffineScorer.poincare(points, 0.8, curv), image, axes[0], axes[1])
    [(_, end, first), (_, _, second)] = partition.intervals(0)
    assert (first, second) == (0, 1)
    assert abs(end - nearest_changes_at(points, 0.8, curv)) < 1e-14
    weight, bias = poincare.affine_scorer(points, 0.8, curv)
    again, offset = poincare.affine_scorer(points, torch.tensor([0.8], dtype=torch.float64), curv)
    assert torch.equal(weight, again)
    assert torch.equal(bias, offset[0])


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_a_range_ends_at_the_number_that_was_given(kind: str) -> None:
    problem = random_problem(kind, 5, 4, 20, 3)
    exact = torch.full((20,), 1.2, dtype=torch.float64)
    for given in (1.2, [1.2] * 20, exact.numpy()):
        partition = semantic_partition(problem.scorer, *problem.arguments, target_extent=given)
        turns = (partition.stop - 1.2) / (2 * torch.pi)
        assert (turns - turns.round()).abs().max() < 1e-15
    numbers = {"target_extent": 1.2}
    tensors = {"target_extent": exact}
    given = (problem.scorer, *problem.arguments)
    assert torch.equal(coverage_sweep(*given, [0.01, 0.1], **numbers), coverage_sweep(*given, [0.01, 0.1], **tensors))
    assert stable_intervals(*given, 0.05, **numbers) == stable_intervals(*given, 0.05, **tensors)


def test_geometry_of_float64_takes_numbers_and_float64_tensors_alike() -> None:
    points = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 4
    exact = torch.tensor(CURV, dtype=torch.float64)
    e1, e2, _ = sphere.plane_basis(points[0], points[1])
    pairs = [
        (poincare.exp_map0, (points,)),
        (poincare.log_map0, (points,)),
        (poincare.distance, (points[:2], points[2:])),
        (poincare.pairwise_distance, (points[:2], points[2:])),
        (poincare.einstein_midpoint, (points,)),
        (poincare.affine_scorer, (points, 0.3)),
        (lambda size, curv: poincare.attainable_margin(size, curv, 0.07), (0.8,)),
        (sphere.attainable_margin, (0.8,)),
        (lambda x, angle: sphere.rotate_in_plane(x, e1, e2, angle), (points,)),
        (lambda x, limit: poincare.cap_radius(x, 0.9, limit), (8 * points,)),
    ]
    for function, arguments in pairs:
        assert_same(function(*arguments, CURV), function(*arguments, exact))
    for function, rest in ((poincare.attainable_margin, (CURV, 0.07)), (sphere.attainable_margin, (3.1,))):
        assert_same(function(0.8, *rest), function(torch.tensor(0.8, dtype=torch.float64), *rest))


def assert_same(first: object, second: object) -> None:
    parts = zip(*((x if isinstance(x, tuple) else (x,)) for x in (first, second)), strict=True)
    assert all(torch.equal(a, b) and a.dtype == torch.float64 for a, b in parts)


def test_tensors_made_of_numbers_name_their_type() -> None:
    """`torch.tensor` and `torch.as_tensor` make float32 of Python numbers where no type is given."""
    for package in (certificates, geometry):
        for path in Path(inspect.getfile(package)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.tensor", "torch.as_tensor"):
                    assert "dtype" in {word.arg for word in node.keywords}, f"{path}:{node.lineno}"
