"""The flat head of CLIP behind the interface of all heads: scaled cosines of features of unit norm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hrvlm.geometry import sphere
from hrvlm.models._head import Head, log_parameter

MAX_LOGIT_SCALE = 100.0


class CosineHead(Head):
    """Points are features of unit norm, scores are scaled cosines: the flat head of CLIP.

    Norms carry no depth here (every point has norm 1), averages are normalised means, `distance` is 1 − cosine.
    """

    has_depth = False
    scorer = "cosine"

    def __init__(
        self, logit_scale: float | None = None, trainable: bool = True, *, max_logit_scale: float = MAX_LOGIT_SCALE
    ) -> None:
        """Build the head.

        Args:
            logit_scale: Start value of the scale λ of the cosines, in (0, 100]; larger values are held at 100.
                None takes the model's own at `initialise`.
            trainable: Whether the scale is learned.
            max_logit_scale: Where the scale is held; models of a sigmoid loss, such as SigLIP, have larger ones.

        Raises:
            ValueError: If a scale is not positive.
        """
        super().__init__()
        if not 0.0 < max_logit_scale < math.inf:
            raise ValueError(f"expected max_logit_scale > 0, got {max_logit_scale}")
        self.max_logit_scale = max_logit_scale
        start = MAX_LOGIT_SCALE if logit_scale is None else float(logit_scale)
        self.log_logit_scale = log_parameter(start, "logit_scale", trainable)
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(logit_scale is not None))

    @property
    def needs_features(self) -> bool:
        """Whether the scale still has to be taken from the model; a loaded checkpoint brings its own."""
        return not bool(self.initialised)

    @torch.no_grad()
    def initialise(
        self, image_features: Tensor | None, text_features: Sequence[Tensor], logit_scale: float | None = None
    ) -> None:
        """Take over the model's scale of cosines.

        Raises:
            ValueError: If the model has none.
        """
        if logit_scale is None or not 0.0 < logit_scale < math.inf:
            raise ValueError(f"expected the model's logit_scale > 0, got {logit_scale}: set logit_scale of the head")
        self.log_logit_scale.fill_(math.log(logit_scale))
        self.initialised.fill_(True)

    @property
    def logit_scale(self) -> Tensor:
        """Scale λ of the cosines, at most 100 as in CLIP if nothing else is stated."""
        return self.log_logit_scale.float().exp().clamp_max(self.max_logit_scale)

    def lift_image(self, features: Tensor) -> Tensor:
        """Normalise features `(N, D)`."""
        return sphere.normalise(features)

    def lift_text(self, features: Tensor, level: int | Tensor) -> Tensor:
        """Normalise features `(K, D)`; the level plays no part."""
        return sphere.normalise(features)

    def logits(self, image_points: Tensor, text_points: Tensor) -> Tensor:
        """λ·cosine, `(N, K)`."""
        with torch.autocast(image_points.device.type, enabled=False):
            return self.logit_scale * (image_points @ text_points.mT)

    def affine(self, image_points: Tensor, text_points: Tensor) -> tuple[Tensor, Tensor]:
        """Weight = text points `(K, D)`, bias = 0 `(K,)`."""
        weight = text_points.double()
        return weight, weight.new_zeros(len(weight))

    def average(self, points: Tensor, membership: Tensor) -> Tensor:
        """Normalised weighted means `(M, D)`."""
        with torch.autocast(points.device.type, enabled=False):
            return sphere.normalise(membership.to(points.dtype) @ points)

    def distance(self, image_points: Tensor, text_points: Tensor) -> Tensor:
        """1 − cosine, in [0, 2]."""
        return 1.0 - (image_points * text_points).sum(dim=-1)

    def norm(self, points: Tensor) -> Tensor:
        """Norms of the points given: 1 for everything this head makes."""
        return torch.linalg.vector_norm(points, dim=-1)

    def max_margin(self, norm: Tensor) -> Tensor:
        """2λη², the gap at antipodal vectors."""
        return sphere.attainable_margin(norm, self.logit_scale.detach())
