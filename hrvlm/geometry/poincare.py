"""The Poincaré ball as pure functions on tensors.

Conventions. `curv` c > 0 is the curvature parameter: the ball is {u : c‖u‖² < 1}, its radius 1/√c, its sectional
curvature −c (geoopt's `PoincareBall(c)` has the same c; its `k` is −c). c may be a float or a tensor with no dimensions
that needs a gradient. Shapes: N and M points, K points of a group, D features.

Results are float32 (float64 for float64 inputs), see `_precision`. Points are kept inside √c‖u‖ <= 1 − √eps(dtype):
there the conformal factor 1 − c‖u‖² still carries half the digits of the result. A point given beyond that radius is
measured as if it lay on it. Every function has finite values and gradients at zero, coincident, antipodal,
near-boundary and huge inputs.

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867), which
names c `r`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hrvlm.geometry._precision import (
    Scalar,
    boundary_margin,
    conformal,
    positive_scalar,
    raise_precision,
    result_dtype,
    safe_norm,
)
from hrvlm.geometry.midpoint import einstein_midpoint, grouped_midpoint

__all__ = [
    "affine_scorer",
    "attainable_margin",
    "boundary_margin",
    "cap_radius",
    "distance",
    "einstein_midpoint",
    "exp_map0",
    "grouped_midpoint",
    "log_map0",
    "pairwise_distance",
    "project",
]


def exp_map0(v: Tensor, curv: Scalar) -> Tensor:
    """Map tangent vectors at the origin to the ball: tanh(√c‖v‖)·v/(√c‖v‖).

    Args:
        v: Tangent vectors `(..., D)`.
        curv: Curvature parameter c > 0.

    Returns:
        Points `(..., D)` strictly inside the ball, at most `boundary_margin` from its boundary.
    """
    dtype = result_dtype(v)
    with torch.autocast(v.device.type, enabled=False):
        (v,) = raise_precision(v)
        root = positive_scalar(curv, "curv", v).sqrt()
        limit = math.atanh(1.0 - boundary_margin(dtype))
        radius = root * safe_norm(v, dtype)
        small, norm = _split_small(radius)
        square = torch.where(small, radius, 0.0).square()
        series = 1.0 - square / 3.0 + 2.0 * square.square() / 15.0
        return (v * torch.where(small, series, torch.tanh(norm.clamp_max(limit)) / norm)).to(dtype)


def cap_radius(v: Tensor, curv: Scalar, limit: Scalar) -> Tensor:
    """Keep the radius r = √c‖v‖ of tangent vectors below `limit`, direction kept, with a continuous second derivative.

    Up to k = 0.8·limit nothing changes; beyond, r becomes k + (limit − k)·tanh((r − k)/(limit − k)).

    Args:
        v: Tangent vectors at the origin `(..., D)`.
        curv: Curvature parameter c > 0.
        limit: Largest radius > 0, in units where artanh(√c‖u‖) is the radius of the point u = exp0(v).

    Returns:
        Tangent vectors `(..., D)`.
    """
    dtype = result_dtype(v)
    with torch.autocast(v.device.type, enabled=False):
        (v,) = raise_precision(v)
        top = positive_scalar(limit, "limit", v)
        knee = 0.8 * top
        radius = positive_scalar(curv, "curv", v).sqrt() * safe_norm(v, dtype)
        outer = torch.maximum(radius, knee)
        bent = knee + (top - knee) * torch.tanh((outer - knee) / (top - knee))
        return (v * torch.where(radius > knee, bent / outer, 1.0)).to(dtype)


def log_map0(u: Tensor, curv: Scalar) -> Tensor:
    """Map points of the ball to tangent vectors at the origin, the inverse of `exp_map0`.

    Args:
        u: Points `(..., D)`.
        curv: Curvature parameter c > 0.

    Returns:
        Tangent vectors `(..., D)`.
    """
    dtype = result_dtype(u)
    with torch.autocast(u.device.type, enabled=False):
        (u,) = raise_precision(u)
        root = positive_scalar(curv, "curv", u).sqrt()
        small, norm = _split_small(root * safe_norm(u))
        square = (root * u * small).square().sum(dim=-1, keepdim=True)
        series = u * (1.0 + square / 3.0 + square.square() / 5.0)
        closed = torch.atanh(norm.clamp_max(1.0 - boundary_margin(dtype))) / root * (u * root / norm)
        return torch.where(small, series, closed).to(dtype)


def _split_small(radius: Tensor) -> tuple[Tensor, Tensor]:
    """Where a series is exact to the working precision, and radii that are safe to divide by elsewhere."""
    small = radius < torch.finfo(radius.dtype).eps ** (1 / 6)
    return small, torch.where(small, torch.ones_like(radius), radius)


def project(u: Tensor, curv: Scalar) -> Tensor:
    """Move points that lie outside the ball, or too near its boundary, radially inside; keep the others.

    Args:
        u: Points `(..., D)`.
        curv: Curvature parameter c > 0.

    Returns:
        Points `(..., D)` with √c‖u‖ <= 1 − `boundary_margin` up to rounding.
    """
    dtype = result_dtype(u)
    with torch.autocast(u.device.type, enabled=False):
        (u,) = raise_precision(u)
        limit = (1.0 - boundary_margin(dtype)) / positive_scalar(curv, "curv", u).sqrt()
        norm = safe_norm(u)
        outside = norm > limit
        return torch.where(outside, u / torch.where(outside, norm, 1.0) * limit, u).to(dtype)


def distance(u: Tensor, v: Tensor, curv: Scalar) -> Tensor:
    """Geodesic distance, (2/√c)·arsinh(√c‖u−v‖ / √((1−c‖u‖²)(1−c‖v‖²))).

    This equals the paper's (1/√c)·arcosh(1 + 2c‖u−v‖²/…) and keeps its digits for small distances, where arcosh(1 + x)
    does not. The gradient at coincident points is zero, one of the subgradients.

    Args:
        u: Points `(..., D)`.
        v: Points `(..., D)`, broadcast against `u`.
        curv: Curvature parameter c > 0.

    Returns:
        Distances `(...)`.
    """
    dtype = result_dtype(u, v)
    with torch.autocast(u.device.type, enabled=False):
        u, v = raise_precision(u, v)
        c = positive_scalar(curv, "curv", u)
        gap = safe_norm(u - v).squeeze(-1)
        scale = (conformal(u, c, dtype) * conformal(v, c, dtype)).sqrt().squeeze(-1)
        return (2.0 / c.sqrt() * torch.asinh(c.sqrt() * gap / scale)).to(dtype)


def pairwise_distance(u: Tensor, v: Tensor, curv: Scalar) -> Tensor:
    """Geodesic distances of every u to every v by one matrix product.

    ‖u−v‖² is expanded and summed in float64: √c·d is off by at most 1e-6 relative (float32 results) plus 2e-7 absolute
    for points up to √c‖u‖ = 0.95. For float64 points that nearly coincide the absolute error is of that size too; use
    `distance` where that matters. Equal points get a distance below that bound, not always exactly 0.

    Args:
        u: Points `(N, D)`.
        v: Points `(M, D)`.
        curv: Curvature parameter c > 0.

    Returns:
        Distances `(N, M)`.
    """
    dtype = result_dtype(u, v)
    with torch.autocast(u.device.type, enabled=False):
        u, v = raise_precision(u, v)
        c = positive_scalar(curv, "curv", u)
        # c‖u−v‖²/(γ_u·γ_v), γ = 1 − c‖·‖², as one product of widened rows: (−2cu, c‖u‖², c)/γ_u and (v, 1, ‖v‖²)/γ_v.
        left, right = 1.0 / conformal(u, c, dtype), 1.0 / conformal(v, c, dtype)
        left_squares, right_squares = (x.square().sum(-1, keepdim=True) for x in (u, v))
        wide_left = torch.cat([u * (-2.0 * c * left), c * left * left_squares, c * left], dim=-1)
        wide_right = torch.cat([v * right, right, right * right_squares], dim=-1)
        # Rounding may leave a coincident pair below zero; the bound gives it a distance of 1e-19 and no gradient.
        ratio = (wide_left @ wide_right.mT).to(dtype).clamp_min(torch.finfo(torch.float32).tiny)
        # 2·arsinh(√x) = log1p(2x + 2√(x + x²)): as exact near zero, and several times as fast as torch's asinh.
        return torch.log1p(2.0 * (ratio + (ratio + ratio.square()).sqrt())) * (1.0 / c.sqrt()).to(dtype)


def attainable_margin(norm: Scalar, curv: Scalar, temperature: Scalar) -> Tensor:
    """Largest gap of log-scores between two classes at one norm: the distance of antipodal points over the temperature.

    (4/(τ√c))·artanh(√c·η), which grows without bound as η → 1/√c.

    Args:
        norm: Euclidean norms η in [0, 1/√c), any shape.
        curv: Curvature parameter c > 0.
        temperature: Temperature τ > 0 of the softmax over −d/τ.

    Returns:
        Margins of the shape of `norm`.

    Raises:
        ValueError: If a norm is negative or not inside the ball.
    """
    eta = torch.as_tensor(norm, dtype=torch.float64 if isinstance(norm, float | int) else None)
    dtype = result_dtype(eta)
    (eta,) = raise_precision(eta)
    root = positive_scalar(curv, "curv", eta).sqrt()
    if not bool(((eta >= 0.0) & (root * eta < 1.0)).all()):
        raise ValueError(
            f"expected norms in [0, {1.0 / float(root):g}), got up to {float(eta.max()):g}: project the points first"
        )
    return (4.0 / (positive_scalar(temperature, "temperature", eta) * root) * torch.atanh(root * eta)).to(dtype)


def affine_scorer(text_points: Tensor, image_norm: Scalar, curv: Scalar) -> tuple[Tensor, Tensor]:
    """Affine functions of the image point whose largest value marks the nearest text point.

    At a fixed image norm n the nearest v_k has the largest <w_k,u> + b_k with w_k = 2v_k/(1−c‖v_k‖²) and
    b_k = −(n²+‖v_k‖²)/(1−c‖v_k‖²). Computed in float64 for certificates.

    Args:
        text_points: Points v `(K, D)`.
        image_norm: Euclidean norm of the image point: a number, or `(N,)` for one per image.
        curv: Curvature parameter c > 0.

    Returns:
        Weight `(K, D)` and bias, `(K,)` for a number, `(N, K)` for one norm per image; both float64.
    """
    points = text_points.double()
    c = positive_scalar(curv, "curv", points).double()
    factor = 1.0 / conformal(points, c, result_dtype(text_points))
    norm = torch.as_tensor(image_norm, dtype=torch.float64, device=points.device)
    bias = -(norm.square().unsqueeze(-1) + points.square().sum(-1)) * factor.squeeze(-1)
    return 2.0 * factor * points, bias
