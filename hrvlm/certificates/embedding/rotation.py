"""The rotation of embeddings in a semantic plane, and affine scores along it.

Source: "Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026 (arXiv 2606.18839): a
prompt pair (source, target) spans a plane with basis e1 (source) and e2; an embedding z = z_in + z_out moves along
``gamma(phi) = rho (cos phi e1 + sin phi e2) + z_out``, which passes z at its own angle phi_a and keeps the norm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import Sinusoids
from hrvlm.geometry import sphere

_NO_PART = 16.0  # units of float64 eps: an in-plane part below this share of the norm is rounding of a zero


@dataclass(frozen=True, eq=False)
class Rotation:
    """Embeddings in the coordinates of semantic planes, float64.

    Attributes:
        features: `(N, D)`.
        plane: basis e1, e2 and the angle from source to target, in (0, pi): one plane for all, of shapes `(D,)` and
            `()`, or one per embedding, of shapes `(N, D)` and `(N,)`.
        spans: `(N,)` False where the prompts of an embedding span no plane.
        radius: `(N,)` norm rho of the in-plane part.
        angle: `(N,)` start angle phi_a in (-pi, pi]; 0 where there is no in-plane part.
        flat: `(N,)` True where there is no in-plane part, so that no rotation moves the embedding.
    """

    features: Tensor
    plane: sphere.Plane
    spans: Tensor
    radius: Tensor
    angle: Tensor
    flat: Tensor

    @classmethod
    def of(cls, features: Tensor, source: Tensor, target: Tensor) -> Rotation:
        """As `tolerant`, for prompts that must span a plane.

        Raises:
            ParallelVectorsError: if the prompts of all embeddings span no plane to the precision of the dtype they
                came in.
            ValueError: if the shapes do not fit.
        """
        rotation = cls.tolerant(features, source, target)
        if len(rotation.spans) and not bool(rotation.spans.any()):
            raise sphere.ParallelVectorsError(
                "expected source and target that span a plane, got parallel ones: choose prompts with different "
                "embeddings"
            )
        return rotation

    @classmethod
    def tolerant(cls, features: Tensor, source: Tensor, target: Tensor) -> Rotation:
        """Coordinates of features `(N, D)` in the planes of source and target, each `(D,)` or `(N, D)`.

        Only directions matter. Where prompts span no plane `spans` is False.

        Raises:
            ValueError: if the shapes do not fit.
        """
        shared = source.dim() == target.dim() == 1
        native = torch.float64 if source.dtype == target.dtype == torch.float64 else torch.float32
        features = features.detach().double()
        first, second = (_rows(prompt.detach().to(features), features, shared) for prompt in (source, target))
        plane, _, spans = sphere.plane_bases(first, second, tolerance=16.0 * torch.finfo(native).eps)
        if shared:
            plane, spans = sphere.Plane(*(part[0] for part in plane)), spans.expand(len(features))
        return cls._in(plane, spans, features)

    @classmethod
    def from_image(cls, features: Tensor, towards: Tensor) -> Rotation:
        """Great-circle arcs that start at the embeddings `(N, D)` and lead towards others `(N, D)`.

        The planes are those of the two embeddings, so that the start angle is 0 and nothing lies outside the plane;
        where the second has no direction the plane's angle is not a number.
        """
        rotation = cls.tolerant(features, features, towards)
        known = towards.isfinite().all(dim=-1) & towards.any(dim=-1)
        plane = rotation.plane._replace(angle=torch.where(known, rotation.plane.angle, torch.nan))
        return replace(rotation, plane=plane, spans=rotation.spans | ~known, angle=torch.zeros_like(rotation.angle))

    @classmethod
    def _in(cls, plane: sphere.Plane, spans: Tensor, features: Tensor) -> Rotation:
        radius, angle = sphere.plane_coordinates(features, plane.e1, plane.e2)
        flat = radius <= _NO_PART * torch.finfo(torch.float64).eps * features.norm(dim=-1)
        return cls(features, plane, spans, radius, torch.where(flat, 0.0, angle), flat)

    def rows(self, index: slice | Tensor) -> Rotation:
        """The coordinates of some images."""
        plane = self.plane if self.plane.e1.dim() == 1 else sphere.Plane(*(part[index] for part in self.plane))
        parts = (self.spans[index], self.radius[index], self.angle[index], self.flat[index])
        return Rotation(self.features[index], plane, *parts)

    def point(self, angle: Tensor) -> Tensor:
        """Embeddings gamma(angle) `(..., N, D)` at absolute angles `(..., N)`."""
        first, second = (sphere.along(self.features, axis) for axis in self.plane[:2])
        move1 = (self.radius * angle.cos() - first)[..., None] * self.plane.e1
        move2 = (self.radius * angle.sin() - second)[..., None] * self.plane.e2
        return torch.where(self.flat[:, None], self.features, self.features + move1 + move2)

    def axes(self, scorer: AffineScorer) -> tuple[Tensor, Tensor]:
        """Inner products of e1 and e2 with the weights of `scorer.first`, `(U,)` or `(N, U)`."""
        return self.plane.e1 @ scorer.distinct.T, self.plane.e2 @ scorer.distinct.T

    def sinusoids(
        self,
        scorer: AffineScorer,
        direction: Tensor,
        scores: Tensor | None = None,
        axes: tuple[Tensor, Tensor] | None = None,
    ) -> Sinusoids:
        """Scores of the classes `scorer.first` as functions of the angle travelled since the image.

        Args:
            scorer: scorer of these images.
            direction: `(N,)` +1 where angles grow along the way, -1 where they fall.
            scores: `(N, U)` scores of the images, where they are known.
            axes: what `axes` returns, where it is known.
        """
        along1, along2 = self.axes(scorer) if axes is None else axes
        first, second = (sphere.along(self.features, axis) * ~self.flat for axis in self.plane[:2])
        cosine = _combined(first, along1, second, along2)
        sine = _combined(direction * first, along2, -direction * second, along1)
        start = scorer.distinct_scores(self.features) if scores is None else scores
        return Sinusoids(cosine, sine, start - cosine)


def _rows(prompt: Tensor, features: Tensor, shared: bool) -> Tensor:
    """A prompt's embedding `(D,)` or `(N, D)` as one row, or as one per image."""
    if prompt.shape[-1:] != features.shape[-1:] or prompt.shape not in (features.shape[-1:], features.shape):
        raise ValueError(
            f"expected source and target of shape {tuple(features.shape[-1:])} or {tuple(features.shape)}, got "
            f"{tuple(prompt.shape)}: give one prompt for all images or one per image"
        )
    return prompt[None] if shared else prompt.expand_as(features)


def _combined(first: Tensor, along1: Tensor, second: Tensor, along2: Tensor) -> Tensor:
    """`first * along1 + second * along2` `(N, U)` for numbers `(N,)` and rows `(U,)` or `(N, U)`."""
    return torch.addcmul(first[:, None] * along1, second[:, None], along2)


def shorter_way(start: Tensor, stop: Tensor) -> Tensor:
    """Signed angle in (-pi, pi] from `start` to `stop`, the shorter way round (upwards at exactly half a turn)."""
    turn = torch.remainder(stop - start + math.pi, 2 * math.pi) - math.pi
    return torch.where(turn <= -math.pi, -turn, turn).clamp(-math.pi, math.pi)


@dataclass(frozen=True, eq=False)
class ImageExtent:
    """In-plane angles of reference images that show the target (image-specified extent).

    Attributes:
        angle: `(N,)` radians in (-pi, pi]; 0 where not defined.
        defined: `(N,)` False where the prompts span no plane, or the reference has no in-plane part or is not finite.
    """

    angle: Tensor
    defined: Tensor


def image_extent(references: Tensor, source: Tensor, target: Tensor) -> ImageExtent:
    """Target extents read off the embeddings `(N, D)` of reference images, one per image that is certified.

    Args:
        references: `(N, D)` embeddings of pictures that show the target.
        source: `(D,)` or `(N, D)` embedding of the source prompt.
        target: `(D,)` or `(N, D)` embedding of the target prompt.
    """
    rotation = Rotation.tolerant(references, source, target)
    defined = rotation.spans & ~rotation.flat & rotation.angle.isfinite()
    return ImageExtent(torch.where(defined, rotation.angle, 0.0), defined)
