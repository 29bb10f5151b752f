"""A model that sees noise on one batch of pictures, so that every objective trains under it without knowing.

Source: "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019 (arXiv 1902.02918), and
"Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers", Salman et al., NeurIPS 2019
(arXiv 1906.04584): the noise stays the same while a perturbation is sought and in the loss.

Where the papers are silent: copies of a model that an objective keeps beside it (PMG-AFT's and FARE's reference) are
shown the pictures without noise, as they were before training, for what they answer about these is the target.
"""

from __future__ import annotations

from torch import Tensor

from hrvlm.models.heads import Head
from hrvlm.objectives.encoded_once import EncodedOnce
from hrvlm.objectives.interface import ImageTextModel


class NoisyModel(EncodedOnce):
    """What a model sees of a batch: its pictures, clean or perturbed, plus noise that belongs to the pictures.

    Noise is added to the pixels given, before any resizing, and nothing is clipped, exactly as in certification; a
    perturbation therefore keeps its budget and [0, 1] on the pictures without noise.

    Attributes:
        noise: `(m, B, 3, H, W)`, m copies for each of the batch's pictures.
        sigmas: Standard deviations `(B,)` of the noise in pixel units.
    """

    def __init__(self, model: ImageTextModel, noise: Tensor, sigmas: Tensor) -> None:
        """Puts noise before a model.

        Args:
            model: An `nn.Module`; its modes and flags stay its own.
            noise: `(m, B, 3, H, W)`.
            sigmas: `(B,)`.
        """
        super().__init__(model)
        self.noise, self.sigmas = noise, sigmas

    @property
    def copies(self) -> int:
        """Number m of noises of each picture."""
        return len(self.noise)

    def encode_image(self, images: Tensor) -> Tensor:
        """Un-normalised features under noise.

        Args:
            images: The batch's pictures `(B, 3, H, W)`, which get their first noise; or these k times, one whole batch
                after another, `(k·B, 3, H, W)` with k <= m, which get their first k.

        Returns:
            `(k·B, D)`.

        Raises:
            ValueError: If these are not the pictures that the noise is for.
        """
        return super().encode_image(images)

    def _encode(self, images: Tensor) -> Tensor:
        copies, rest = divmod(len(images), self.noise.shape[1])
        if rest or not 0 < copies <= self.copies or images.shape[1:] != self.noise.shape[2:]:
            expected, got = (tuple(shape) for shape in (self.noise.shape[1:], images.shape))
            raise ValueError(
                f"expected the images {expected} that the noise was drawn for, at most {self.copies} times, got {got}"
            )
        noisy = images.unflatten(0, (copies, -1)) + self.noise[:copies]
        return self.model.encode_image(noisy.flatten(0, 1))

    def repeated(self, images: Tensor) -> Tensor:
        """The batch's pictures `(B, 3, H, W)` once for every copy, `(m·B, 3, H, W)`; the same tensor where kept."""
        if self.copies == 1:
            return images
        return self._once("repeated", images, lambda pixels: pixels.repeat(self.copies, 1, 1, 1))


def copies_of_points(head: Head, model: ImageTextModel, images: Tensor) -> Tensor:
    """Points `(B, m, D)` of pictures `(B, 3, H, W)` under each of their noises; m = 1 for a model without noise."""
    copies = model.copies if isinstance(model, NoisyModel) else 1
    shown = model.repeated(images) if isinstance(model, NoisyModel) else images
    return head.lift_image(model.encode_image(shown)).unflatten(0, (copies, -1)).transpose(0, 1)
