"""The interface of classifier heads: how features become points, scores and averages, whatever the geometry.

Shapes: N image points, K text points, M groups, D features. Features are un-normalised CLIP features; all maths runs in
float32 or better, outside autocast.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Head(nn.Module, ABC):
    """Interface of a classifier head.

    Attributes:
        has_depth: Whether the norm of a point means depth, so that norm-order losses make sense.
        scorer: What records of certificates call its scores.
    """

    has_depth: bool
    scorer: str

    @property
    def needs_features(self) -> bool:
        """Whether `initialise` has to be called before the head may be used."""
        return False

    def initialise(
        self, image_features: Tensor | None, text_features: Sequence[Tensor], logit_scale: float | None = None
    ) -> None:
        """Set start values that were left open; a head without any keeps this.

        Args:
            image_features: Un-normalised `(N, D)`, or None where the head needs none.
            text_features: Un-normalised `(K_l, D)`, one tensor per level, leaf first.
            logit_scale: The model's own scale of cosines.
        """
        del image_features, text_features, logit_scale

    @abstractmethod
    def lift_image(self, features: Tensor) -> Tensor:
        """Map un-normalised image features `(N, D)` to points `(N, D)`."""

    @abstractmethod
    def lift_text(self, features: Tensor, level: int | Tensor) -> Tensor:
        """Map un-normalised text features `(K, D)` to points; `level` (0 = leaf) is one or `(K,)`, a node's own."""

    @abstractmethod
    def logits(self, image_points: Tensor, text_points: Tensor) -> Tensor:
        """Scores `(N, K)` of image points `(N, D)` against text points `(K, D)`; their softmax is the prediction."""

    @abstractmethod
    def affine(self, image_points: Tensor, text_points: Tensor) -> tuple[Tensor, Tensor]:
        """Affine scorer with the ranking of `logits`: weight `(K, D)` and bias `(K,)` or `(N, K)`, both float64.

        Class k scores <w_k, u> + b_k at every point u of the norm of the image point that the bias belongs to.
        """

    @abstractmethod
    def average(self, points: Tensor, membership: Tensor) -> Tensor:
        """Averages `(M, D)` of groups of points `(K, D)` under non-negative weights `(M, K)`; empty groups get zero."""

    @abstractmethod
    def distance(self, image_points: Tensor, text_points: Tensor) -> Tensor:
        """Distances `(...)` of points `(..., D)`, row by row; falls as the logit rises."""

    @abstractmethod
    def norm(self, points: Tensor) -> Tensor:
        """Euclidean norms `(...)` of points `(..., D)`."""

    @abstractmethod
    def max_margin(self, norm: Tensor) -> Tensor:
        """Largest gap of two logits for points of the given norms."""


def log_parameter(values: Sequence[float] | float, name: str, trainable: bool) -> nn.Parameter:
    """Positive numbers stored as float32 logarithms."""
    numbers = [values] if isinstance(values, int | float) else list(values)
    if not numbers or not all(0.0 < number < math.inf for number in numbers):
        raise ValueError(f"expected {name} > 0 and finite, got {values}: give positive numbers")
    logs = torch.tensor([math.log(number) for number in numbers])
    return nn.Parameter(logs[0] if isinstance(values, int | float) else logs, requires_grad=trainable)
