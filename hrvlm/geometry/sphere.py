"""The unit sphere as pure functions on tensors: planes, rotations and margins of cosine scores.

Shapes: N vectors, D features. Angles are in radians. Half-precision inputs are up-cast to float32; float64 stays
float64, which is what certificates use.

Source: "Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026 (arXiv 2606.18839).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hrvlm.geometry._precision import Scalar, positive_scalar, raise_precision, result_dtype, safe_norm


class ParallelVectorsError(ValueError):
    """Two vectors are parallel, antiparallel or zero, so they span no plane."""


class Plane(NamedTuple):
    """A plane with an orthonormal basis, and the angle of the target seen from the source.

    Attributes:
        e1: First basis vector `(D,)`, the direction of the source.
        e2: Second basis vector `(D,)`, towards the target.
        angle: Angle from source to target, no dimensions, in (0, π).
    """

    e1: Tensor
    e2: Tensor
    angle: Tensor


def normalise(x: Tensor) -> Tensor:
    """Scale vectors `(..., D)` to unit norm; a zero vector stays zero, with zero gradient."""
    dtype = result_dtype(x)
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(dtype)
        norm = safe_norm(x)
        zero = norm == 0.0  # false for NaN, which must not pass for zero
        return torch.where(zero, 0.0, x / torch.where(zero, 1.0, norm))


def attainable_margin(norm: Scalar, logit_scale: Scalar) -> Tensor:
    """Largest gap of inner-product scores between two classes at one norm: 2λη² (antipodal vectors).

    Args:
        norm: Norms η >= 0, any shape.
        logit_scale: Scale λ > 0 of the scores.

    Returns:
        Margins of the shape of `norm`.
    """
    eta = torch.as_tensor(norm, dtype=torch.float64 if isinstance(norm, float | int) else None)
    dtype = result_dtype(eta)
    (eta,) = raise_precision(eta)
    return (2.0 * positive_scalar(logit_scale, "logit_scale", eta) * eta.square()).to(dtype)


def plane_basis(source: Tensor, target: Tensor, tolerance: float | None = None) -> Plane:
    """Orthonormal basis of the plane of two vectors: e1 along the source, e2 towards the target.

    Args:
        source: Vector `(D,)`; only its direction matters.
        target: Vector `(D,)`; only its direction matters.
        tolerance: Sine of the angle up to which the vectors count as parallel; 16·eps of their dtype if not given.

    Returns:
        The basis and the angle between the vectors.

    Raises:
        ParallelVectorsError: If the vectors span no plane to within `tolerance`, or one is zero.
        ValueError: If the shapes are not both `(D,)`.
    """
    if source.ndim != 1 or source.shape != target.shape:
        shapes = f"{tuple(source.shape)} and {tuple(target.shape)}"
        raise ValueError(f"expected source and target of one shape (D,), got {shapes}: give one pair at a time")
    if tolerance is None:
        tolerance = 16.0 * torch.finfo(result_dtype(source, target)).eps
    plane, sine, spans = plane_bases(source[None], target[None], tolerance)
    if not bool(spans):
        raise ParallelVectorsError(
            f"expected source and target that span a plane, got sine {float(sine):.3g} between them (parallel up to "
            f"{tolerance:.3g}): choose prompts with different embeddings"
        )
    return Plane(*(part[0] for part in plane))


def plane_bases(source: Tensor, target: Tensor, tolerance: float) -> tuple[Plane, Tensor, Tensor]:
    """Orthonormal bases of the planes of N pairs of vectors.

    Args:
        source: Vectors `(N, D)`; only their directions matter.
        target: Vectors `(N, D)`; only their directions matter.
        tolerance: Sine of the angle up to which two vectors count as parallel.

    Returns:
        Bases `(N, D)` with angles `(N,)`; sines `(N,)`; and where a pair spans a plane `(N,)`. A pair that spans none
        has e2 = 0; not-a-number in is not-a-number out, and counts as spanning.
    """
    e1, direction = normalise(source), normalise(target)
    along = (e1 * direction).sum(dim=-1, keepdim=True)
    residual = direction - along * e1
    # At small angles the first subtraction leaves a part along e1, so subtract once more.
    residual = residual - (residual * e1).sum(dim=-1, keepdim=True) * e1
    sine = safe_norm(residual)
    spans = e1.any(dim=-1, keepdim=True) & direction.any(dim=-1, keepdim=True) & ~(sine <= tolerance)
    e2 = torch.where(spans, residual / torch.where(spans, sine, 1.0), 0.0)
    angle = torch.atan2(sine, along)
    return Plane(e1, e2, angle.squeeze(-1)), sine.squeeze(-1), spans.squeeze(-1)


def along(vectors: Tensor, direction: Tensor) -> Tensor:
    """Inner products `(...)` of vectors `(..., D)` with one direction `(D,)`, or each with its own `(..., D)`."""
    return vectors @ direction if direction.ndim == 1 else (vectors * direction).sum(dim=-1)


def plane_coordinates(vectors: Tensor, e1: Tensor, e2: Tensor) -> tuple[Tensor, Tensor]:
    """Radius and angle `(...)` of the in-plane part of vectors `(..., D)`; the angle lies in (−π, π].

    The plane is one, with e1 and e2 of shape `(D,)`, or each vector has its own, with shapes broadcast to `(..., D)`.
    """
    first, second = along(vectors, e1), along(vectors, e2)
    return torch.hypot(first, second), torch.atan2(second, first)


def rotate_in_plane(vectors: Tensor, e1: Tensor, e2: Tensor, angle: Scalar) -> Tensor:
    """Rotate the in-plane part of vectors and keep the orthogonal part, so that norms do not change.

    Args:
        vectors: Vectors `(..., D)`.
        e1: First basis vector `(D,)` of unit norm.
        e2: Second basis vector `(D,)` of unit norm, orthogonal to e1.
        angle: Angle of the rotation from e1 towards e2, a number or a tensor broadcast against `(...)`.

    Returns:
        Rotated vectors; with angles `(A, 1)` and vectors `(N, D)` the result is `(A, N, D)`.
    """
    turn = torch.as_tensor(angle, dtype=vectors.dtype, device=vectors.device)
    first, second = vectors @ e1, vectors @ e2
    cos, sin = torch.cos(turn), torch.sin(turn)
    move_first = first * (cos - 1.0) - second * sin
    move_second = first * sin + second * (cos - 1.0)
    return vectors + move_first.unsqueeze(-1) * e1 + move_second.unsqueeze(-1) * e2
