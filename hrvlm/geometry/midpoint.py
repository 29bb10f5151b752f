"""Hyperbolic averages in the Poincaré ball: the Einstein midpoint of one group or of many.

Source: HypAvg in "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867):
to Klein coordinates k = 2u/(1+c‖u‖²), weights γ = 1/√(1−c‖k‖²), m = Σγk/Σγ, back u = m/(1+√(1−c‖m‖²)).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hrvlm.geometry._precision import Scalar, conformal, positive_scalar, raise_precision, result_dtype


def einstein_midpoint(points: Tensor, curv: Scalar, weights: Tensor | None = None) -> Tensor:
    """Hyperbolic average: the Einstein midpoint, taken through Klein coordinates.

    Args:
        points: Points `(..., K, D)`.
        curv: Curvature parameter c > 0.
        weights: Non-negative weights `(..., K)`; equal weights if not given. All zero gives the origin.

    Returns:
        Midpoints `(..., D)`.
    """
    if weights is None:
        weights = points.new_ones(points.shape[:-1])
    if weights.shape[-1] != points.shape[-2]:
        raise ValueError(
            f"expected one weight per point ({points.shape[-2]}), got weights of shape {tuple(weights.shape)}"
        )
    return _midpoint(points, weights.unsqueeze(-2), curv).squeeze(-2)


def grouped_midpoint(points: Tensor, membership: Tensor, curv: Scalar) -> Tensor:
    """Einstein midpoints of many groups of the same points by one matrix product.

    Args:
        points: Points `(K, D)`.
        membership: Non-negative weights `(M, K)`, one row per group.
        curv: Curvature parameter c > 0.

    Returns:
        Midpoints `(M, D)`. A group whose weights are all zero gets the origin; callers mask it.
    """
    if membership.ndim != 2 or membership.shape[1] != points.shape[0]:
        raise ValueError(f"expected membership of shape (M, {points.shape[0]}), got {tuple(membership.shape)}")
    return _midpoint(points, membership, curv)


def _midpoint(points: Tensor, weights: Tensor, curv: Scalar) -> Tensor:
    """Midpoints `(..., M, D)` of `points` `(..., K, D)` under `weights` `(..., M, K)`.

    With λ = 2/(1−c‖u‖²), the Klein coordinates k and Lorentz factor γ of u have γk = λu and γ = λ−1, so that with
    S = Σwλu and T = Σw(λ−1) the way back m/(1+√(1−c‖m‖²)), m = S/T, becomes S/(T+√(T²−c‖S‖²)): no division by a
    vanishing quantity.
    """
    dtype = result_dtype(points)
    with torch.autocast(points.device.type, enabled=False):
        points, weights = raise_precision(points, weights)
        c = positive_scalar(curv, "curv", points)
        # Scaling the weights of a row changes nothing but keeps T comparable with 1.
        total_weight = weights.sum(-1, keepdim=True)
        empty = total_weight == 0.0
        weights = weights / torch.where(empty, 1.0, total_weight)
        factor = 2.0 / conformal(points, c, dtype)
        vector = weights @ (factor * points)
        total = weights @ (factor - 1.0)
        # T² − c‖S‖² >= 1 (reverse triangle inequality of Lorentz space, weights sum to 1): the bound meets rounding.
        rest = (total.square() - c * vector.square().sum(-1, keepdim=True)).clamp_min(1.0)
        return (vector / (total + rest.sqrt())).to(dtype)
