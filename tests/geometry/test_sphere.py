"""Planes and rotations against matrix exponentials; typed outcomes for vectors that span no plane."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlm.geometry import sphere


def vectors(seed: int, count: int, dim: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@given(st.integers(0, 2**31 - 1), st.integers(2, 7))
@settings(max_examples=40, deadline=None)
def test_basis_is_orthonormal_and_reaches_the_target(seed: int, dim: int) -> None:
    source, target = vectors(seed, 2, dim)
    e1, e2, angle = sphere.plane_basis(source, target)
    basis = torch.stack((e1, e2))
    torch.testing.assert_close(basis @ basis.T, torch.eye(2, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(angle.cos() * e1 + angle.sin() * e2, target / target.norm(), atol=1e-9, rtol=0)
    torch.testing.assert_close(angle, torch.arccos(torch.cosine_similarity(source, target, dim=0)), atol=1e-6, rtol=0)
    torch.testing.assert_close(sphere.rotate_in_plane(e1, e1, e2, angle), target / target.norm(), atol=1e-9, rtol=0)


def test_rotation_is_the_exponential_of_its_generator() -> None:
    e1, e2, _ = sphere.plane_basis(*vectors(0, 2, 5))
    generator = torch.outer(e2, e1) - torch.outer(e1, e2)
    points = vectors(1, 4, 5)
    angles = torch.tensor([-2.0, 0.0, 0.3, math.pi], dtype=torch.float64)
    got = sphere.rotate_in_plane(points, e1, e2, angles[:, None])
    expected = torch.stack([points @ torch.linalg.matrix_exp(a * generator).T for a in angles])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(got.norm(dim=-1), points.norm(dim=-1).expand(4, 4))


def test_coordinates_turn_with_the_rotation() -> None:
    e1, e2, _ = sphere.plane_basis(*vectors(2, 2, 6))
    points = vectors(3, 5, 6)
    radius, start = sphere.plane_coordinates(points, e1, e2)
    turned_radius, turned = sphere.plane_coordinates(sphere.rotate_in_plane(points, e1, e2, 0.4), e1, e2)
    torch.testing.assert_close(turned_radius, radius)
    torch.testing.assert_close(torch.remainder(turned - start, 2 * math.pi), torch.full_like(start, 0.4))


@pytest.mark.parametrize("factor", [1.0, -1.0, 3.0, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parallel_vectors_are_a_typed_outcome(factor: float, dtype: torch.dtype) -> None:
    source = vectors(4, 1, 64, dtype)[0]
    with pytest.raises(sphere.ParallelVectorsError, match="span a plane"):
        sphere.plane_basis(source, factor * source)
    with pytest.raises(sphere.ParallelVectorsError, match="span a plane"):
        sphere.plane_basis(torch.zeros_like(source), source)


def test_small_angles_are_kept_unless_the_tolerance_says_otherwise() -> None:
    source = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    target = torch.tensor([1.0, 1e-7, 0.0], dtype=torch.float64)
    assert float(sphere.plane_basis(source, target).angle) == pytest.approx(1e-7)
    with pytest.raises(sphere.ParallelVectorsError):
        sphere.plane_basis(source, target, tolerance=1e-6)
    with pytest.raises(ValueError, match="one pair at a time"):
        sphere.plane_basis(source[None], target[None])


def test_basis_stays_orthonormal_at_small_angles_in_float32() -> None:
    source, noise = vectors(5, 2, 64, torch.float32)
    e1, e2, _ = sphere.plane_basis(source, source + 1e-4 * noise)
    assert abs(float(e1 @ e2)) < 1e-6


def test_normalise_is_safe_at_zero_tiny_and_huge() -> None:
    x = torch.tensor([[0.0, 0.0], [3e-30, 4e-30], [3e30, 4e30]], requires_grad=True)
    unit = sphere.normalise(x)
    torch.testing.assert_close(unit, torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.6, 0.8]]))
    assert torch.autograd.grad(unit.sum(), x)[0].isfinite().all()


def test_attainable_margin_is_the_antipodal_gap() -> None:
    u = torch.tensor([0.3, 0.4], dtype=torch.float64)
    expected = 20.0 * (u @ u - u @ -u)
    torch.testing.assert_close(sphere.attainable_margin(u.norm(), 20.0), expected)
