"""The ball against geoopt, mpmath and its own laws; values and gradients at the edges."""

from __future__ import annotations

import math
import warnings

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlm.geometry import poincare

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # geoopt scripts its maths, which newer torch deprecates
    import geoopt

DTYPES = [torch.float32, torch.float64]
CURVATURES = [0.1, 1.0, 2.5]
seeds = st.integers(0, 2**31 - 1)
curvatures = st.floats(0.05, 5.0)
few = settings(max_examples=40, deadline=None)


def ball_points(seed: int, count: int, dim: int, curv: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Points with radii spread over the ball, up to 0.95 of its radius."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(
        torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=-1
    )
    radii = 0.95 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    return (directions * radii / math.sqrt(curv)).to(dtype)


def reference_ball(curv: float) -> geoopt.PoincareBall:
    """geoopt's ball; a plain float would be rounded to float32 there."""
    return geoopt.PoincareBall(c=torch.tensor(curv, dtype=torch.float64))


def exact_distance(u: torch.Tensor, v: torch.Tensor, curv: float) -> float:
    """The paper's arcosh formula with 60 digits."""
    with mpmath.workdps(60):
        c = mpmath.mpf(curv)
        a = [mpmath.mpf(x) for x in u.double().tolist()]
        b = [mpmath.mpf(x) for x in v.double().tolist()]
        gap = mpmath.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True))
        scale = (1 - c * mpmath.fsum(x * x for x in a)) * (1 - c * mpmath.fsum(y * y for y in b))
        return float(mpmath.acosh(1 + 2 * c * gap / scale) / mpmath.sqrt(c))


@pytest.mark.parametrize("curv", CURVATURES)
def test_agrees_with_geoopt(curv: float) -> None:
    ball = reference_ball(curv)
    u, v = ball_points(0, 12, 5, curv), ball_points(1, 9, 5, curv)
    tangent = torch.randn(12, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(poincare.exp_map0(tangent, curv), ball.expmap0(tangent))
    torch.testing.assert_close(poincare.log_map0(u, curv), ball.logmap0(u))
    expected = ball.dist(u[:, None], v[None])
    torch.testing.assert_close(poincare.distance(u[:, None], v[None], curv), expected)
    torch.testing.assert_close(poincare.pairwise_distance(u, v, curv), expected)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("curv", CURVATURES)
def test_midpoint_agrees_with_geoopt(curv: float, weighted: bool) -> None:
    points = ball_points(3, 7, 4, curv)
    weights = torch.rand(7, generator=torch.Generator().manual_seed(4), dtype=torch.float64) if weighted else None
    # geoopt's gyromidpoint is the same point: both minimise in the Lorentz model.
    expected = reference_ball(curv).weighted_midpoint(points, weights=weights)
    torch.testing.assert_close(poincare.einstein_midpoint(points, curv, weights), expected)


def test_midpoint_follows_the_klein_recipe_of_the_paper() -> None:
    curv, points = 1.7, ball_points(5, 6, 3, 1.7)
    weights = torch.rand(6, 1, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    klein = 2 * points / (1 + curv * points.square().sum(-1, keepdim=True))
    gamma = weights / (1 - curv * klein.square().sum(-1, keepdim=True)).sqrt()
    mean = (gamma * klein).sum(0) / gamma.sum(0)
    expected = mean / (1 + (1 - curv * mean.square().sum()).sqrt())
    torch.testing.assert_close(poincare.einstein_midpoint(points, curv, weights[:, 0]), expected)


@pytest.mark.parametrize(("dtype", "rtol", "atol"), [(torch.float32, 1e-6, 2e-7), (torch.float64, 1e-12, 2e-7)])
@pytest.mark.parametrize("gap", [0.5, 1e-2, 1e-4, 1e-6, 0.0])
def test_distances_keep_their_digits_for_near_points(dtype: torch.dtype, rtol: float, atol: float, gap: float) -> None:
    u = ball_points(7, 4, 32, 1.0, dtype)
    v = poincare.project(u + gap * ball_points(8, 4, 32, 1.0, dtype), 1.0)
    expected = torch.tensor([exact_distance(a, b, 1.0) for a, b in zip(u, v, strict=True)], dtype=dtype)
    torch.testing.assert_close(poincare.pairwise_distance(u, v, 1.0).diagonal(), expected, rtol=rtol, atol=atol)
    # Row by row there is no cancellation at all: relative accuracy down to zero.
    torch.testing.assert_close(poincare.distance(u, v, 1.0), expected, rtol=max(rtol, 1e-11), atol=0.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_map0_matches_mpmath_over_many_magnitudes(dtype: torch.dtype) -> None:
    curv = 0.5
    for size in (1e-30, 1e-8, 1e-4, 2e-3, 5e-3, 0.1, 1.0, 5.0):
        v = torch.tensor([0.6 * size, -0.8 * size], dtype=dtype)
        with mpmath.workdps(40):
            norm = mpmath.sqrt(curv) * mpmath.norm([mpmath.mpf(x) for x in v.tolist()])
            expected = [float(mpmath.tanh(norm) / norm * x) for x in v.tolist()]
        tolerance = 4 * torch.finfo(dtype).eps
        got = poincare.exp_map0(v, curv)
        torch.testing.assert_close(got, torch.tensor(expected, dtype=dtype), rtol=tolerance, atol=0)
        torch.testing.assert_close(poincare.log_map0(got, curv), v, rtol=500 * tolerance, atol=0)


def edge_points(dtype: torch.dtype) -> torch.Tensor:
    """Zero, tiny, near-boundary, antipodal, beyond the boundary and huge vectors for c = 1."""
    rows = [[0, 0], [1e-30, 0], [1 - 1e-7, 0], [-(1 - 1e-7), 0], [0.6, 0.8], [2.0, 0], [1e15, -1e15], [1e30, 1e30]]
    return torch.tensor(rows, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["exp_map0", "log_map0", "project", "midpoint", "distance", "pairwise"])
def test_values_and_gradients_are_finite_at_the_edges(name: str, dtype: torch.dtype) -> None:
    functions = {
        "exp_map0": poincare.exp_map0,
        "log_map0": poincare.log_map0,
        "project": poincare.project,
        "midpoint": lambda x, c: poincare.einstein_midpoint(poincare.project(x, c)[:, None, :].expand(-1, 3, -1), c),
        "distance": lambda x, c: poincare.distance(poincare.project(x, c)[:, None], poincare.project(x, c), c),
        "pairwise": lambda x, c: poincare.pairwise_distance(poincare.project(x, c), poincare.project(x, c), c),
    }
    points = edge_points(dtype).requires_grad_()
    curv = torch.tensor(1.0, dtype=dtype, requires_grad=True)
    value = functions[name](points, curv)
    assert value.dtype == dtype
    assert value.isfinite().all()
    gradients = torch.autograd.grad(value.sum(), (points, curv), allow_unused=True)
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_lie_strictly_inside(dtype: torch.dtype) -> None:
    for curv in CURVATURES:
        for points in (poincare.exp_map0(edge_points(dtype), curv), poincare.project(edge_points(dtype), curv)):
            assert (math.sqrt(curv) * points.norm(dim=-1) < 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_of_exp_map0_at_zero_is_the_identity(dtype: torch.dtype) -> None:
    jacobian = torch.autograd.functional.jacobian(lambda v: poincare.exp_map0(v, 1.3), torch.zeros(3, dtype=dtype))
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=dtype))


def test_gradients_match_finite_differences_including_curvature() -> None:
    curv = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    u, v = (ball_points(seed, 3, 4, 1.5).requires_grad_() for seed in (9, 10))
    weights = torch.rand(2, 3, generator=torch.Generator().manual_seed(11), dtype=torch.float64, requires_grad=True)
    tiny = (1e-3 * u.detach()).requires_grad_()
    for x in (u, tiny):
        assert torch.autograd.gradcheck(poincare.exp_map0, (x, curv))
        assert torch.autograd.gradcheck(poincare.log_map0, (x, curv))
    assert torch.autograd.gradcheck(poincare.distance, (u, v, curv))
    assert torch.autograd.gradcheck(poincare.pairwise_distance, (u, v, curv))
    assert torch.autograd.gradcheck(lambda p, w, c: poincare.grouped_midpoint(p, w, c), (u, weights, curv))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_float32_pairwise_agree_with_float64(dtype: torch.dtype) -> None:
    u = ball_points(12, 6, 16, 1.0, dtype).requires_grad_()
    v = ball_points(13, 5, 16, 1.0, dtype)
    (gradient,) = torch.autograd.grad(poincare.pairwise_distance(u, v, 1.0).sum(), u)
    precise = u.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(poincare.distance(precise[:, None], v.double(), 1.0).sum(), precise)
    torch.testing.assert_close(gradient, expected.to(dtype), rtol=1e-5, atol=1e-6)


@given(seeds, curvatures)
@few
def test_distance_is_a_metric(seed: int, curv: float) -> None:
    points = ball_points(seed, 6, 3, curv)
    d = poincare.pairwise_distance(points, points, curv)
    assert torch.allclose(d, d.T, atol=1e-9)
    assert (d >= 0).all()
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-6).all()


@given(seeds, curvatures)
@few
def test_distances_add_along_a_ray(seed: int, curv: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    direction = torch.nn.functional.normalize(torch.randn(4, generator=generator, dtype=torch.float64), dim=0)
    steps = 3 * torch.rand(5, 1, generator=generator, dtype=torch.float64) / math.sqrt(curv)
    points = poincare.exp_map0(steps * direction, curv)
    # With exp0(v) = tanh(√c‖v‖)…, a tangent vector of norm t lands at distance 2t from the origin.
    torch.testing.assert_close(
        poincare.distance(points[:, None], points, curv), 2 * (steps - steps.T).abs(), rtol=1e-7, atol=1e-9
    )


@given(seeds, curvatures)
@few
def test_exp_and_log_are_inverse(seed: int, curv: float) -> None:
    v = 8 / 0.95 * ball_points(seed, 5, 3, curv)  # radii up to 8/√c, short of where float64 points reach the boundary
    torch.testing.assert_close(poincare.log_map0(poincare.exp_map0(v, curv), curv), v, rtol=1e-6, atol=1e-9)


@given(seeds, curvatures, st.integers(1, 6))
@few
def test_midpoint_laws(seed: int, curv: float, count: int) -> None:
    points = ball_points(seed, count, 3, curv)
    generator = torch.Generator().manual_seed(seed)
    weights = 0.01 + torch.rand(count, generator=generator, dtype=torch.float64)
    midpoint = poincare.einstein_midpoint(points, curv, weights)
    order = torch.randperm(count, generator=generator)
    torch.testing.assert_close(poincare.einstein_midpoint(points[order], curv, weights[order]), midpoint)
    torch.testing.assert_close(poincare.einstein_midpoint(points, curv, 7.5 * weights), midpoint)
    assert midpoint.norm() <= points.norm(dim=-1).max() * (1 + 1e-12)
    torch.testing.assert_close(poincare.grouped_midpoint(points, weights[None], curv)[0], midpoint)
    if count == 2:
        half = poincare.einstein_midpoint(points, curv)
        to_both = poincare.distance(points, half, curv)
        torch.testing.assert_close(to_both[0], to_both[1])
        torch.testing.assert_close(to_both.sum(), poincare.distance(points[0], points[1], curv))


def test_grouped_midpoint_is_the_midpoint_of_each_group_and_origin_for_none() -> None:
    points = ball_points(14, 5, 3, 1.0, torch.float32).requires_grad_()
    membership = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0.5, 0, 0, 2, 1]])
    got = poincare.grouped_midpoint(points, membership, 1.0)
    torch.testing.assert_close(got[0], poincare.einstein_midpoint(points[:2], 1.0))
    torch.testing.assert_close(got[1], points[2])
    torch.testing.assert_close(got[3], poincare.einstein_midpoint(points, 1.0, membership[3]))
    assert not got[2].any()
    assert torch.autograd.grad(got.sum(), points)[0].isfinite().all()


def test_midpoint_of_one_point_near_the_boundary_is_that_point() -> None:
    for dtype in DTYPES:
        point = poincare.project(torch.tensor([[1.0, 0.0]], dtype=dtype), 1.0)
        torch.testing.assert_close(poincare.einstein_midpoint(point, 1.0), point[0])


def test_affine_scorer_ranks_as_the_distance() -> None:
    curv = 0.7
    images, texts = ball_points(15, 200, 6, curv), ball_points(16, 11, 6, curv)
    weight, bias = poincare.affine_scorer(texts, images.norm(dim=-1), curv)
    assert (weight.dtype, bias.shape) == (torch.float64, (200, 11))
    ranking = (images @ weight.T + bias).argsort(dim=-1, descending=True)
    assert torch.equal(ranking, poincare.pairwise_distance(images, texts, curv).argsort(dim=-1))
    _, single = poincare.affine_scorer(texts, float(images[0].norm()), curv)
    torch.testing.assert_close(single, bias[0])


def test_attainable_margin_is_the_antipodal_distance() -> None:
    curv, temperature = 2.0, 0.12
    norms = torch.tensor([0.0, 0.1, 0.5, 0.7], dtype=torch.float64)
    u = norms[:, None] * torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    margin = poincare.attainable_margin(norms, curv, temperature)
    torch.testing.assert_close(margin, poincare.distance(u, -u, curv) / temperature)
    with pytest.raises(ValueError, match="expected norms in"):
        poincare.attainable_margin(1.0 / math.sqrt(curv) + 1e-9, curv, temperature)


def test_half_precision_and_autocast_do_not_lower_the_precision() -> None:
    points = ball_points(17, 4, 8, 1.0, torch.bfloat16)
    expected = poincare.pairwise_distance(points.float(), points.float(), 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = poincare.pairwise_distance(points, points, 1.0)
        assert poincare.exp_map0(points, 1.0).dtype == torch.float32
        assert poincare.einstein_midpoint(points, 1.0).dtype == torch.float32
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)


@pytest.mark.parametrize("curv", [0.0, -1.0, math.nan, math.inf, torch.tensor(-1.0)])
def test_curvature_must_be_positive(curv: float | torch.Tensor) -> None:
    with pytest.raises(ValueError, match="expected curv > 0"):
        poincare.exp_map0(torch.zeros(2), curv)


def test_shapes_and_types_are_checked() -> None:
    points = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="expected points of a floating-point type"):
        poincare.exp_map0(torch.zeros(2, dtype=torch.long), 1.0)
    with pytest.raises(ValueError, match="expected one number for curv"):
        poincare.exp_map0(points, torch.ones(2))
    with pytest.raises(ValueError, match=r"expected membership of shape \(M, 3\)"):
        poincare.grouped_midpoint(points, torch.ones(1, 2), 1.0)
    with pytest.raises(ValueError, match="expected one weight per point"):
        poincare.einstein_midpoint(points, 1.0, torch.ones(2))
