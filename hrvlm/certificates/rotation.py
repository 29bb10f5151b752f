"""The rotation of embeddings in a semantic plane, and affine scores along it.

Source: "Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026 (arXiv 2606.18839): a
prompt pair (source, target) spans a plane with basis e1 (source) and e2; an embedding z = z_in + z_out moves along
``gamma(phi) = rho (cos phi e1 + sin phi e2) + z_out``, which passes z at its own angle phi_a and keeps the norm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.certificates.affine import AffineScorer
from hrvlm.certificates.envelope import Waves
from hrvlm.geometry import sphere

_NO_PART = 16.0  # units of float64 eps: an in-plane part below this share of the norm is rounding of a zero


@dataclass(frozen=True, eq=False)
class Rotation:
    """Embeddings in the coordinates of a semantic plane, float64.

    Attributes:
        features: `(N, D)`.
        plane: basis e1, e2 `(D,)` and the angle from source to target, in (0, pi).
        radius: `(N,)` norm rho of the in-plane part.
        angle: `(N,)` start angle phi_a in (-pi, pi]; 0 where there is no in-plane part.
        flat: `(N,)` True where there is no in-plane part, so that no rotation moves the embedding.
    """

    features: Tensor
    plane: sphere.Plane
    radius: Tensor
    angle: Tensor
    flat: Tensor

    @classmethod
    def of(cls, features: Tensor, source: Tensor, target: Tensor) -> Rotation:
        """Coordinates of features `(N, D)` in the plane of source and target `(D,)`; only directions matter.

        Raises:
            ParallelVectorsError: if the prompts span no plane to the precision of the dtype they came in.
        """
        native = torch.float64 if source.dtype == target.dtype == torch.float64 else torch.float32
        features = features.detach().double()
        first, second = source.detach().to(features), target.detach().to(features)
        plane = sphere.plane_basis(first, second, tolerance=16.0 * torch.finfo(native).eps)
        radius, angle = sphere.plane_coordinates(features, plane.e1, plane.e2)
        flat = radius <= _NO_PART * torch.finfo(torch.float64).eps * features.norm(dim=-1)
        return cls(features, plane, radius, torch.where(flat, 0.0, angle), flat)

    def rows(self, index: slice) -> Rotation:
        """The coordinates of some images."""
        parts = (self.radius[index], self.angle[index], self.flat[index])
        return Rotation(self.features[index], self.plane, *parts)

    def point(self, angle: Tensor) -> Tensor:
        """Embeddings gamma(angle) `(..., N, D)` at absolute angles `(..., N)`."""
        first, second = self.features @ self.plane.e1, self.features @ self.plane.e2
        move1 = (self.radius * angle.cos() - first)[..., None] * self.plane.e1
        move2 = (self.radius * angle.sin() - second)[..., None] * self.plane.e2
        return torch.where(self.flat[:, None], self.features, self.features + move1 + move2)

    def waves(self, scorer: AffineScorer, direction: Tensor) -> Waves:
        """Scores of the classes `scorer.first` as functions of the angle travelled since the image.

        Args:
            scorer: scorer of these images.
            direction: `(N,)` +1 where angles grow along the way, -1 where they fall.
        """
        weight = scorer.weight[scorer.first]
        along1, along2 = weight @ self.plane.e1, weight @ self.plane.e2
        first, second = self.features @ self.plane.e1, self.features @ self.plane.e2
        moves = ~self.flat[:, None]
        cosine = (first[:, None] * along1 + second[:, None] * along2) * moves
        sine = direction[:, None] * (first[:, None] * along2 - second[:, None] * along1) * moves
        return Waves(cosine, sine, scorer.scores(self.features)[:, scorer.first] - cosine)


def shorter_way(start: Tensor, stop: Tensor) -> Tensor:
    """Signed angle in (-pi, pi] from `start` to `stop`, the shorter way round (upwards at exactly half a turn)."""
    turn = torch.remainder(stop - start + math.pi, 2 * math.pi) - math.pi
    return torch.where(turn <= -math.pi, -turn, turn).clamp(-math.pi, math.pi)


@dataclass(frozen=True, eq=False)
class ImageExtent:
    """In-plane angles of reference images that show the target (image-specified extent).

    Attributes:
        angle: `(N,)` radians in (-pi, pi]; 0 where not defined.
        defined: `(N,)` False where the reference has no in-plane part or is not finite.
    """

    angle: Tensor
    defined: Tensor


def image_extent(references: Tensor, source: Tensor, target: Tensor) -> ImageExtent:
    """Target extents read off the embeddings `(N, D)` of reference images.

    Raises:
        ParallelVectorsError: if the prompts span no plane.
    """
    rotation = Rotation.of(references, source, target)
    defined = ~rotation.flat & rotation.angle.isfinite()
    return ImageExtent(torch.where(defined, rotation.angle, 0.0), defined)
