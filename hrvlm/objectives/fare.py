"""FARE: unsupervised adversarial fine-tuning that keeps image embeddings where they were.

Source: "Robust CLIP: Unsupervised Adversarial Fine-Tuning of Vision Embeddings for Robust Large Vision-Language
Models", Schlarmann et al., ICML 2024 (arXiv 2402.12336): min over the tower φ of the mean over images x of
max over ‖z − x‖ <= ε of ‖φ(z) − φ_original(x)‖², with embeddings that are not normalised. No texts and no labels.

Decided here, where the paper leaves it open:
- The squared norm is a sum over the features of an embedding, the loss its mean over images; it is not divided by the
  number of features or by the size of embeddings, so a learning rate suits one model, not all.
- The ascent always starts at a random point of the budget: where the trained tower equals the original, as at the
  first step of training, the clean image is the minimum of the distance and its gradient there is zero.
- Labels serve to log the accuracy only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.models.finite import labels_of
from hrvlm.objectives.base import PERTURBATION, Adversarial, ImageTextModel, Perturbed
from hrvlm.objectives.reference import ReferencedObjective
from hrvlm.old_keys import old_keys


@old_keys(**{name: place for name, place in PERTURBATION.items() if name != "random_start"})
class FAREObjective(ReferencedObjective):
    """Squared distance between the embedding of the adversarial image and the original clean embedding.

    The head plays no part in the loss; it classifies by cosines with the model's own scale, as plain CLIP does.
    """

    def __init__(
        self,
        *,
        logit_scale: float | None = None,
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
    ) -> None:
        """Set the perturbation.

        Args:
            logit_scale: Scale of the cosines of the classifier; None takes the model's. It does not enter the loss.
            threat_model: Norm and budget of the perturbation.
            ascent: How it is sought; always from a random start.

        Raises:
            ValueError: If the ascent is to start at the images.
        """
        super().__init__(logit_scale=logit_scale, threat_model=threat_model, ascent=ascent)
        if not ascent.random_start:
            raise ValueError(
                "expected ascent.random_start true with FARE, got false: the distance has no gradient at clean images"
            )

    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """PGD on the distance, from a random start; without a generator the same one is drawn in every call."""
        if generator is None:
            generator = torch.Generator(images.device).manual_seed(0)
        target = self.reference_features(images)

        def loss(pixels: Tensor) -> Tensor:
            return squared_distance(model.encode_image(pixels), target)

        return Adversarial((Perturbed(self.ascent.perturb(loss, images, self.threat_model, generator)),))

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared distance of adversarial embeddings from the original clean embeddings; labels play no part."""
        features = model.encode_image(adversarial.images)
        loss = squared_distance(features, self.reference_features(images)).mean()
        with torch.no_grad():
            logits = self.head.logits(self.head.lift_image(features), self.leaf_points(model))
            accuracy = (labels_of(logits) == labels).float().mean()
        return loss, {"loss": loss.detach(), "adversarial_accuracy": accuracy}


def squared_distance(features: Tensor, target: Tensor) -> Tensor:
    """‖features − target‖² row by row, `(N, D)` and `(N, D)` to `(N,)`, in float32 at least."""
    dtype = torch.promote_types(features.dtype, torch.float32)
    return (features.to(dtype) - target.to(dtype)).square().sum(dim=-1)
