"""A model that sees noise on one batch of pictures, so that every objective trains under it without knowing.

Source: "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019 (arXiv 1902.02918), and
"Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers", Salman et al., NeurIPS 2019
(arXiv 1906.04584): the noise stays the same while a perturbation is sought and in the loss.

Where the papers are silent: copies of a model that an objective keeps beside it (PMG-AFT's and FARE's reference) are
shown the pictures without noise, as they were before training, for what they answer about these is the target.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hrvlm.objectives.interface import ImageEncoder, ImageTextModel


class NoisyModel(nn.Module):
    """What a model sees of a batch: its pictures, clean or perturbed, plus noise that belongs to the pictures.

    Noise is added to the pixels given, before any resizing, and nothing is clipped, exactly as in certification; a
    perturbation therefore keeps its budget and [0, 1] on the pictures without noise.

    Attributes:
        noise: `(1, B, 3, H, W)`.
        sigmas: Standard deviations `(B,)` of the noise in pixel units.
    """

    def __init__(self, model: ImageTextModel, noise: Tensor, sigmas: Tensor) -> None:
        """Puts noise before a model.

        Args:
            model: An `nn.Module`; its modes and flags stay its own.
            noise: `(1, B, 3, H, W)`.
            sigmas: `(B,)`.
        """
        super().__init__()
        self.model = model
        self.noise, self.sigmas = noise, sigmas

    def encode_image(self, images: Tensor) -> Tensor:
        """Un-normalised features `(B, D)` of the batch's pictures `(B, 3, H, W)` under their noise.

        Raises:
            ValueError: If these are not as many as the noise is for.
        """
        if images.shape != self.noise.shape[1:]:
            expected, got = (tuple(shape) for shape in (self.noise.shape[1:], images.shape))
            raise ValueError(f"expected the images {expected} that the noise was drawn for, got {got}")
        return self.model.encode_image(images + self.noise[0])

    def frozen_image_tower(self) -> ImageEncoder:
        """The model's, without noise."""
        return self.model.frozen_image_tower()

    def text_hidden(self, texts: Sequence[str]) -> Tensor:
        """The model's."""
        return self.model.text_hidden(texts)

    def project_text(self, hidden: Tensor) -> Tensor:
        """The model's."""
        return self.model.project_text(hidden)

    @property
    def logit_scale(self) -> Tensor:
        """The model's."""
        return self.model.logit_scale
