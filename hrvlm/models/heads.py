"""Classifier heads: how image and text features become points, scores and averages, in the ball or on the sphere.

Both heads have one interface (`Head`), so that objectives, classifiers and certificates never ask which geometry they
are in. Shapes: N image points, K text points, M groups, D features.

Source of the hyperbolic head: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026
(arXiv 2604.18867). The learned scales, their start values and the norm cap are this project's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hrvlm.geometry import poincare
from hrvlm.models._cosine_head import CosineHead
from hrvlm.models._head import Head, log_parameter

__all__ = ["CosineHead", "Head", "PoincareHead"]

IMAGE_RADIUS = 0.87
_TINY = 1e-12
TEXT_RADIUS_LEAF = 0.95
TEXT_RADIUS_TOP = 0.55
MIN_TEMPERATURE = 0.01


class PoincareHead(Head):
    """Points lie in the Poincaré ball, scores are −distance/τ, averages are Einstein midpoints, norms are depths.

    A feature times its learned scale is a tangent vector at the origin; its radius √c‖v‖ is capped smoothly, the
    direction kept, so that points stay inside `norm_cap` of the ball and float32 never saturates; then exp0 follows.
    """

    has_depth = True
    scorer = "poincare"

    def __init__(
        self,
        curv: float = 1.0,
        image_scale: float | None = None,
        text_scales: Sequence[float] | int = 1,
        temperature: float = 0.12,
        norm_cap: float = 0.98,
        normalise_texts: bool = False,
        trainable_scales: bool = True,
        trainable_temperature: bool = True,
    ) -> None:
        """Build the head; without scales it waits for `initialise`.

        Args:
            curv: Curvature parameter c > 0, fixed.
            image_scale: Scale of image features, > 0; None to take it from features.
            text_scales: Scale of text features per level, leaf first; or the number of levels, to take the scales from
                features.
            temperature: Start value of τ > 0; smaller values than 0.01 are held there.
            norm_cap: Largest √c‖u‖ of a point, in (0.8, 0.999].
            normalise_texts: Whether texts give only directions, so that all texts of a level are equally deep.
            trainable_scales: Whether the scales are learned.
            trainable_temperature: Whether the temperature is learned.

        Raises:
            ValueError: If a number is out of range, or only one of the two kinds of scales is given.
        """
        super().__init__()
        if not 0.8 < norm_cap <= 0.999:
            raise ValueError(f"expected norm_cap in (0.8, 0.999], got {norm_cap}: it is a share of the ball's radius")
        if not 0.0 < curv < math.inf:
            raise ValueError(f"expected curv > 0 and finite, got {curv}: the ball has radius 1/√curv")
        if isinstance(text_scales, int) != (image_scale is None):
            raise ValueError("expected image_scale and text_scales both given or both left out, got one of them")
        levels = text_scales if isinstance(text_scales, int) else len(text_scales)
        if levels < 1:
            raise ValueError(f"expected at least one level in text_scales, got {text_scales}")
        scales = [1.0] * levels if isinstance(text_scales, int) else list(text_scales)
        self.log_image_scale = log_parameter(
            1.0 if image_scale is None else image_scale, "image_scale", trainable_scales
        )
        self.log_text_scales = log_parameter(scales, "text_scales", trainable_scales)
        self.log_temperature = log_parameter(float(temperature), "temperature", trainable_temperature)
        self.curv: Tensor
        self.norm_cap: Tensor
        self.normalise_texts: Tensor
        self.initialised: Tensor
        self.register_buffer("curv", torch.tensor(curv, dtype=torch.float32))
        self.register_buffer("norm_cap", torch.tensor(norm_cap, dtype=torch.float32))
        self.register_buffer("normalise_texts", torch.tensor(normalise_texts))
        self.register_buffer("initialised", torch.tensor(image_scale is not None))

    @property
    def needs_features(self) -> bool:
        """Whether the scales still have to be taken from features; a loaded checkpoint brings its own."""
        return not bool(self.initialised)

    @property
    def temperature(self) -> Tensor:
        """Temperature τ of the softmax over −distance/τ, at least 0.01."""
        return self.log_temperature.float().exp().clamp_min(MIN_TEMPERATURE)

    @property
    def image_scale(self) -> Tensor:
        """Scale of image features."""
        return self.log_image_scale.float().exp()

    @property
    def text_scales(self) -> Tensor:
        """Scale of text features per level, leaf first."""
        return self.log_text_scales.float().exp()

    @torch.no_grad()
    def initialise(
        self, image_features: Tensor | None, text_features: Sequence[Tensor], logit_scale: float | None = None
    ) -> None:
        """Set the scales so that mean radii √c‖v‖ start at .87 for images and .95 (leaf) to .55 (top) for texts.

        Between leaf and top they fall linearly; .95 puts leaf texts at norm tanh(.95) = .74 of the ball's radius.

        Args:
            image_features: Un-normalised `(N, D)`.
            text_features: Un-normalised `(K_l, D)`, one tensor per level of this head, leaf first.
            logit_scale: Not used in the ball.

        Raises:
            ValueError: If the number of levels differs, or mean norms are zero or not finite.
        """
        levels = len(self.log_text_scales)
        if len(text_features) != levels:
            raise ValueError(f"expected text features of {levels} levels, got {len(text_features)}: use one forest")
        if image_features is None:
            raise ValueError("expected image_features to set the scales from, got None: pass a batch of images")
        radii = torch.linspace(TEXT_RADIUS_LEAF, TEXT_RADIUS_TOP, levels) if levels > 1 else [TEXT_RADIUS_LEAF]
        root = math.sqrt(float(self.curv))
        self.log_image_scale.fill_(math.log(IMAGE_RADIUS / root / _mean_norm(image_features, "image_features")))
        for level, (radius, features) in enumerate(zip(radii, text_features, strict=True)):
            norm = 1.0 if self.normalise_texts else _mean_norm(features, "text_features")
            self.log_text_scales[level] = math.log(float(radius) / root / norm)
        self.initialised.fill_(True)

    def lift_image(self, features: Tensor) -> Tensor:
        """Scale, cap and map by exp0: `(N, D)` to points of the ball."""
        return self._lift(features, self.image_scale)

    def lift_text(self, features: Tensor, level: int | Tensor) -> Tensor:
        """Scale by the level's scale, cap and map by exp0: `(K, D)` to points of the ball."""
        scale = self.text_scales[level]
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, torch.float32))
            norms = torch.linalg.vector_norm(features, dim=-1, keepdim=True).clamp_min(_TINY)
            directions = features / torch.where(self.normalise_texts, norms, 1.0)
        return self._lift(directions, scale if isinstance(level, int) else scale.unsqueeze(-1))

    def _lift(self, features: Tensor, scale: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            tangent = scale * features.to(torch.promote_types(features.dtype, torch.float32))
            return poincare.exp_map0(poincare.cap_radius(tangent, self.curv, torch.atanh(self.norm_cap)), self.curv)

    def logits(self, image_points: Tensor, text_points: Tensor) -> Tensor:
        """−distance/τ, `(N, K)`."""
        return poincare.pairwise_distance(image_points, text_points, self.curv) * (-1.0 / self.temperature)

    def affine(self, image_points: Tensor, text_points: Tensor) -> tuple[Tensor, Tensor]:
        """Weight `(K, D)`, bias `(N, K)` for the norms of the image points."""
        return poincare.affine_scorer(text_points, self.norm(image_points.double()), self.curv)

    def average(self, points: Tensor, membership: Tensor) -> Tensor:
        """Hyperbolic averages `(M, D)` (HypAvg: Einstein midpoints)."""
        return poincare.grouped_midpoint(points, membership, self.curv)

    def distance(self, image_points: Tensor, text_points: Tensor) -> Tensor:
        """Geodesic distance."""
        return poincare.distance(image_points, text_points, self.curv)

    def norm(self, points: Tensor) -> Tensor:
        """Euclidean norms, which rise with depth, below 1/√c."""
        return torch.linalg.vector_norm(points, dim=-1)

    def max_margin(self, norm: Tensor) -> Tensor:
        """(4/(τ√c))·artanh(√c·η), the gap at antipodal points."""
        return poincare.attainable_margin(norm, self.curv, self.temperature.detach())


def _mean_norm(features: Tensor, name: str) -> float:
    """Mean norm of un-normalised features `(N, D)`."""
    mean = float(torch.linalg.vector_norm(features.double(), dim=-1).mean())
    if not 0.0 < mean < math.inf:
        raise ValueError(f"expected {name} with a positive finite mean norm, got {mean}: check the model's features")
    return mean
