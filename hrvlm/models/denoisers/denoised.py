"""A model behind a denoiser, as one model: what is certified is the smoothed, denoised classifier.

Source: "Denoised Smoothing: A Provable Defense for Pretrained Classifiers", Salman et al., NeurIPS 2020
(arXiv 2003.01908). Noise goes in before the denoiser, and radii are in the pixels given to it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hrvlm.models.denoisers.diffusion import OneStepDiffusion
from hrvlm.models.digests import state_digest
from hrvlm.models.pixels import check_images
from hrvlm.models.vision_language import VisionLanguageModel


class Denoised(VisionLanguageModel):
    """Images in [0, 1], plus noise, through a denoiser into a model; texts are the model's own.

    Attributes:
        denoiser: Maps images `(N, 3, H, W)` to images of the same shape.
        described: JSON in UTF-8 that tells it from others of the same weights; None where the weights tell enough.
    """

    def __init__(
        self, denoiser: nn.Module, model: VisionLanguageModel, *, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Puts a denoiser before a model; both share their weights with this.

        Args:
            denoiser: Maps images to images of the same shape, in pixels of [0, 1].
            model: Whose images are denoised.
            settings: What tells the denoiser from others of its class and weights, as JSON values; None where nothing
                does. Digests of weights then tell it as well.
        """
        super().__init__(model.clip, model.tokenizer, name=model.name, config=model.config)
        self.denoiser = denoiser
        text = b"" if settings is None else json.dumps(settings, sort_keys=True).encode()
        self.described: Tensor | None
        self.register_buffer("described", torch.tensor(list(text), dtype=torch.uint8) if text else None)
        self.train(model.training)

    def preprocess(self, images: Tensor) -> Tensor:
        """Denoises images `(N, 3, H, W)` and then resizes and normalises them; whatever sees them sees them so.

        Raises:
            ValueError: If the shape is not (N, 3, H, W), pixels are integers, or the denoiser changes the shape.
        """
        check_images(images)
        denoised: Tensor = self.denoiser(images)
        if denoised.shape != images.shape:
            raise ValueError(
                f"expected images {tuple(images.shape)} of the denoiser, got {tuple(denoised.shape)}: use one that "
                "keeps their size"
            )
        return super().preprocess(denoised)

    def frozen_image_tower(self) -> VisionLanguageModel:
        """A copy of denoiser and image side as they are now, in evaluation mode and without gradients."""
        settings = None if self.described is None else json.loads(bytes(self.described.tolist()))
        tower = Denoised(copy.deepcopy(self.denoiser), super().frozen_image_tower(), settings=settings)
        return tower.to(self.mean.device).requires_grad_(False).eval()


def denoiser_of(model: nn.Module) -> dict[str, str]:
    """What rows state of a denoiser before a model, besides the weights of both: its kind, and a digest.

    The digest is of its weights and of what else tells it from others. Nothing of a model without one.
    """
    if not isinstance(model, Denoised):
        return {}
    described = {} if model.described is None else {"described": model.described}
    return {"denoiser": f"{type(model.denoiser).__name__} {state_digest(model.denoiser.state_dict() | described)}"}


def removed_sigma(model: nn.Module) -> float | None:
    """Standard deviation of the noise, in pixel units, that a diffusion model before a model takes off; else None."""
    denoiser = model.denoiser if isinstance(model, Denoised) else None
    return denoiser.sigma if isinstance(denoiser, OneStepDiffusion) else None
