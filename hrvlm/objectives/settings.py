"""Parts of the hierarchical method as values: the head, the weights of the loss, the perturbation of texts.

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hrvlm.models.heads import CosineHead, Head, PoincareHead
from hrvlm.objectives.soft_targets import SoftTargets
from hrvlm.objectives.weighing import TermWeights, check_weight

HeadKind = Literal["poincare", "cosine"]


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """Which head scores images and texts, and where it starts from.

    Attributes:
        kind: "poincare", or "cosine" for the Euclidean ablation, which needs order weights of 0.
        curv: Curvature parameter > 0 of the ball.
        norm_cap: Largest norm of a point as a share in (0, 1) of the ball's radius.
        normalise_texts: Whether all texts of a level are equally deep in the ball, see `PoincareHead`.
        temperature: Start value > 0 of the temperature of the Poincaré head.
        image_scale: Scale of image features; None takes it from features, as with `text_scales`.
        text_scales: Scale of text features per level, leaf first.
        logit_scale: Start value of the cosine head's scale; None takes the model's.
        trainable_scales: Whether scales of the Poincaré head are learned.
        trainable_temperature: Whether the temperature, or the cosine head's scale, is learned.

    Raises:
        ValueError: If the kind is unknown. Numbers are checked by the heads.
    """

    kind: HeadKind = "poincare"
    curv: float = 1.0
    norm_cap: float = 0.98
    normalise_texts: bool = False
    temperature: float = 0.12
    image_scale: float | None = None
    text_scales: Sequence[float] | None = None
    logit_scale: float | None = None
    trainable_scales: bool = True
    trainable_temperature: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(HeadKind):
            raise ValueError(f"expected head.kind to be one of {', '.join(get_args(HeadKind))}, got {self.kind!r}")

    def make(self, num_levels: int) -> Head:
        """A Poincaré head with a text scale per level, or a cosine head.

        Args:
            num_levels: Levels of the deepest tree.

        Raises:
            ValueError: If a number is out of range, or there are not as many text scales as levels.
        """
        if self.kind == "cosine":
            return CosineHead(self.logit_scale, self.trainable_temperature)
        scales = num_levels if self.text_scales is None else list(self.text_scales)
        if not isinstance(scales, int) and len(scales) != num_levels:
            raise ValueError(f"expected {num_levels} text_scales, one per level of the deepest tree, got {len(scales)}")
        return PoincareHead(
            curv=self.curv,
            image_scale=self.image_scale,
            text_scales=scales,
            temperature=self.temperature,
            norm_cap=self.norm_cap,
            normalise_texts=self.normalise_texts,
            trainable_scales=self.trainable_scales,
            trainable_temperature=self.trainable_temperature,
        )


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """What the terms of the loss weigh; 0 switches a term off.

    Attributes:
        levels: Weights ω >= 0 of the alignment per level of the deepest tree, leaf first; None for the paper's.
        image_share: Share in [0, 1] of the alignment above the leaves that concerns each image itself instead of the
            averages of groups; 0 is the paper's method.
        leaf_sum_share: Share in [0, 1] of the alignment above the leaves in which a superclass is the sum of its
            leaves' probabilities, as profiles certify it, instead of its own text; 0 is the paper's method.
        vicinity: Weight λ1 >= 0 of the vicinity.
        order: Weight λ2 >= 0 of the norm order of images and of texts, where these are not given:
        order_image: Weight of the norm order of images.
        order_text: Weight of the norm order of texts.
        soft_targets: Smooths the labels of every level over its tree; None for hard targets, which are the paper's.

    Raises:
        ValueError: If a weight is negative or no number, all level weights are 0, or a share is out of range.
    """

    levels: Sequence[float] | None = None
    image_share: float = 0.0
    leaf_sum_share: float = 0.0
    vicinity: float = 0.5
    order: float = 1.0
    order_image: float | None = None
    order_text: float | None = None
    soft_targets: SoftTargets | None = None

    def __post_init__(self) -> None:
        for name in ("image_share", "leaf_sum_share"):
            if not 0.0 <= (share := getattr(self, name)) <= 1.0:
                raise ValueError(f"expected {name} in [0, 1], got {share}: it is a share of the alignment")
        check_weight("order", self.order)
        self.terms()

    def terms(self) -> TermWeights:
        """Weights of the terms one by one."""
        image, text = (self.order if weight is None else weight for weight in (self.order_image, self.order_text))
        return TermWeights(None if self.levels is None else tuple(self.levels), self.vicinity, image, text)


@dataclass(frozen=True, kw_only=True)
class TextPerturbation:
    """How far projected text features are moved, together with the images.

    Attributes:
        eps: Largest entry >= 0 of the perturbation, in units of the features; 0 leaves texts alone.
        step_size: Length >= 0 of its step; None takes `eps`.

    Raises:
        ValueError: If a number is negative or not finite.
    """

    eps: float = 2e-4
    step_size: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("eps", self.eps), ("step_size", self.step_size)):
            if value is not None and not 0.0 <= value < math.inf:
                raise ValueError(
                    f"expected {name} >= 0 and finite of the text perturbation, got {value}: eps 0 leaves texts alone"
                )

    @property
    def step(self) -> float:
        """Length of a step."""
        return self.eps if self.step_size is None else self.step_size
