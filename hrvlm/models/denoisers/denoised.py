"""A model behind a denoiser, as one model: what is certified is the smoothed, denoised classifier.

Source: "Denoised Smoothing: A Provable Defense for Pretrained Classifiers", Salman et al., NeurIPS 2020
(arXiv 2003.01908). Noise goes in before the denoiser, and radii are in the pixels given to it.
"""

from __future__ import annotations

import copy

from torch import Tensor, nn

from hrvlm.models.digests import state_digest
from hrvlm.models.vision_language import VisionLanguageModel


class Denoised(VisionLanguageModel):
    """Images in [0, 1], plus noise, through a denoiser into a model; texts are the model's own.

    Attributes:
        denoiser: Maps images `(N, 3, H, W)` to images of the same shape.
    """

    def __init__(self, denoiser: nn.Module, model: VisionLanguageModel) -> None:
        """Puts a denoiser before a model; both share their weights with this.

        Args:
            denoiser: Maps images to images of the same shape, in pixels of [0, 1].
            model: Whose images are denoised.
        """
        super().__init__(model.clip, model.tokenizer, name=model.name, config=model.config)
        self.denoiser = denoiser
        self.train(model.training)

    def encode_image(self, images: Tensor) -> Tensor:
        """Un-normalised features `(N, D)` of the denoised images.

        Raises:
            ValueError: If the denoiser changes the images' shape.
        """
        denoised: Tensor = self.denoiser(images)
        if denoised.shape != images.shape:
            raise ValueError(
                f"expected images {tuple(images.shape)} of the denoiser, got {tuple(denoised.shape)}: use one that "
                "keeps their size"
            )
        return super().encode_image(denoised)

    def frozen_image_tower(self) -> VisionLanguageModel:
        """A copy of denoiser and image side as they are now, in evaluation mode and without gradients."""
        tower = Denoised(copy.deepcopy(self.denoiser), super().frozen_image_tower())
        return tower.requires_grad_(False).eval()


def denoiser_of(model: nn.Module) -> dict[str, str]:
    """What rows state of a denoiser before a model, besides the weights of both: its kind and a digest of its weights.

    Nothing of a model without one.
    """
    if not isinstance(model, Denoised):
        return {}
    return {"denoiser": f"{type(model.denoiser).__name__} {state_digest(model.denoiser.state_dict())}"}
