"""AGFT: adversarial fine-tuning towards the original model's own soft predictions, made softer.

Source: "AGFT: Alignment-Guided Fine-Tuning for Zero-Shot Adversarial Robustness of Vision-Language Models", Cui et al.,
CVPR 2026 (arXiv 2603.29410), equations 6 to 10: the target of an image is the original model's distribution over the
class texts on the clean image, with the temperature τ raised to τ/γ (distribution consistency calibration); the loss is
the cross-entropy of the trained model's distribution on the adversarial image, at temperature τ, from that target; the
perturbation is PGD on the same loss. Texts stay fixed, labels play no part. The paper takes γ = 0.4 and 1/τ = 180.

Decided here, where the paper leaves it open:
- 1/τ is the scale of the head, which is the model's own, unless stated: the head classifies as plain CLIP does.
- The cross-entropy is a sum over classes and a mean over images.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.models.finite import labels_of
from hrvlm.models.heads import CosineHead
from hrvlm.objectives.base import Adversarial, ImageTextModel, Perturbed
from hrvlm.objectives.reference import ReferencedObjective


class AGFTObjective(ReferencedObjective):
    """Cross-entropy of adversarial predictions from the original model's calibrated predictions on clean images."""

    def __init__(
        self,
        *,
        gamma: float = 0.4,
        inverse_temperature: float | None = None,
        logit_scale: float | None = None,
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
    ) -> None:
        """Set the calibration and the perturbation.

        Args:
            gamma: Calibration γ in (0, 1]: the target's logits are γ times the original model's; 1 leaves them alone.
            inverse_temperature: 1/τ > 0 of the loss; None takes the scale of the head.
            logit_scale: Scale of the cosines of the classifier; None takes the model's.
            threat_model: Norm and budget of the perturbation.
            ascent: How it is sought.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__(logit_scale=logit_scale, threat_model=threat_model, ascent=ascent)
        if not 0.0 < gamma <= 1.0:
            raise ValueError(f"expected gamma in (0, 1], got {gamma}: it makes the target softer, and 1 leaves it")
        if inverse_temperature is not None and not 0.0 < inverse_temperature < math.inf:
            raise ValueError(f"expected inverse_temperature > 0 and finite, got {inverse_temperature}")
        self.gamma, self.inverse_temperature = gamma, inverse_temperature

    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """PGD on the loss itself."""
        texts, original = self.leaf_points(model), self._original_logits(model, images)

        def loss(pixels: Tensor) -> Tensor:
            return alignment_loss(self._logits(model.encode_image(pixels), texts), original, self.gamma)

        return Adversarial((Perturbed(self.ascent.perturb(loss, images, self.threat_model, generator)),))

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy from the target; labels serve to log the accuracy only."""
        logits = self._logits(model.encode_image(adversarial.images), self.leaf_points(model))
        loss = alignment_loss(logits, self._original_logits(model, images), self.gamma).mean()
        accuracy = (labels_of(logits) == labels).float().mean()
        return loss, {"loss": loss.detach(), "adversarial_accuracy": accuracy.detach()}

    @torch.no_grad()
    def _original_logits(self, model: ImageTextModel, images: Tensor) -> Tensor:
        """Of the original model on clean images, `(B, K)`."""
        return self._logits(self.reference_features(images), self.leaf_points(model))

    def _logits(self, features: Tensor, texts: Tensor) -> Tensor:
        """Cosines over the temperature of the loss `(B, K)`, in float32 at least."""
        head = self.head
        assert isinstance(head, CosineHead)
        logits = head.logits(head.lift_image(features), texts)
        scale = self.inverse_temperature
        return logits if scale is None else logits * (scale / head.logit_scale)


def alignment_loss(logits: Tensor, original_logits: Tensor, gamma: float) -> Tensor:
    """Cross-entropy of predictions from calibrated original ones, softmax(γ·original), image by image.

    Args:
        logits: Of the trained model on adversarial images `(B, K)`.
        original_logits: Of the original model on clean images `(B, K)`.
        gamma: Keeps ranks and ratios of the logits and takes confidence away, in (0, 1].

    Returns:
        `(B,)`, in float32 at least.
    """
    target, predicted = (
        values.to(torch.promote_types(values.dtype, torch.float32)) for values in (gamma * original_logits, logits)
    )
    return F.cross_entropy(predicted, target.softmax(dim=-1), reduction="none")
