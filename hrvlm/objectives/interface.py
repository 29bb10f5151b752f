"""What passes between a model, an objective and training: the model's side as a protocol, perturbations as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class ImageEncoder(Protocol):
    """The image side of a model, which is also an `nn.Module`."""

    def encode_image(self, images: Tensor) -> Tensor:
        """Un-normalised image features `(N, D)` of images `(N, 3, H, W)` in [0, 1]."""
        ...


class ImageTextModel(Protocol):
    """What an objective asks of a model, which is also an `nn.Module` (see `hrvlm.models`)."""

    def encode_image(self, images: Tensor) -> Tensor:
        """Un-normalised image features `(N, D)` of images `(N, 3, H, W)` in [0, 1]."""
        ...

    def frozen_image_tower(self) -> ImageEncoder:
        """A copy of the image side as it is now, in evaluation mode and without gradients; itself an `nn.Module`."""
        ...

    def text_hidden(self, texts: Sequence[str]) -> Tensor:
        """Text-transformer output before the projection, `(K, W)`, without gradient."""
        ...

    def project_text(self, hidden: Tensor) -> Tensor:
        """Un-normalised text features `(K, D)`."""
        ...

    @property
    def logit_scale(self) -> Tensor:
        """The model's own scale of cosines."""
        ...


@dataclass(frozen=True)
class Perturbed:
    """One perturbation of a batch.

    Attributes:
        images: Adversarial images `(B, 3, H, W)`, detached.
        text_delta: Perturbation of the text features of all nodes of the forest `(nodes, D)`, detached, or None.
        level: The level whose loss is taken on this perturbation; None means all levels.
    """

    images: Tensor
    text_delta: Tensor | None = None
    level: int | None = None


@dataclass(frozen=True)
class Adversarial:
    """What `Objective.perturb` found: one perturbation for all levels, or one per level.

    Attributes:
        parts: At least one.
    """

    parts: tuple[Perturbed, ...]

    @property
    def images(self) -> Tensor:
        """Adversarial images of the first part (all levels, or the leaf level)."""
        return self.parts[0].images
