"""Objectives that know the leaf classes only: TeCoA, and clean fine-tuning as its limit without a perturbation.

Source of TeCoA: "Understanding Zero-Shot Adversarial Robustness for Large-Scale Models", Mao et al., ICLR 2023
(arXiv 2212.07016): cross-entropy of the adversarial image against the fixed texts of the classes, the perturbation
found by PGD on that same loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hrvlm.attacks import Ascent, ThreatModel, perturb
from hrvlm.models.finite import labels_of
from hrvlm.models.heads import CosineHead, Head
from hrvlm.objectives.base import PERTURBATION, Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.old_keys import old_keys


@old_keys(**PERTURBATION)
class TeCoAObjective(Objective):
    """Cross-entropy of adversarial images against fixed leaf texts, scored by scaled cosines."""

    trains_text = False

    def __init__(
        self,
        *,
        logit_scale: float | None = None,
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
    ) -> None:
        """Set the perturbation and the scale.

        Args:
            logit_scale: Fixed scale of the cosines; None takes the model's.
            threat_model: Norm and budget of the perturbation.
            ascent: How it is sought.
        """
        super().__init__(threat_model=threat_model, ascent=ascent)
        self.logit_scale = logit_scale

    def make_head(self, num_levels: int) -> Head:
        """A cosine head with a fixed scale."""
        return CosineHead(self.logit_scale, trainable=False)

    def leaf_points(self, model: ImageTextModel) -> Tensor:
        """Points of the leaf texts `(K, D)`, without gradient: TeCoA keeps the text side fixed."""
        with torch.no_grad():
            return self.head.lift_text(self.text_features(model)[: len(self.forest.leaves)], 0)

    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """PGD on the cross-entropy of the leaf classes."""
        texts = self.leaf_points(model)

        def loss(pixels: Tensor) -> Tensor:
            return self.attacked_loss(model, pixels, labels, texts)

        found = perturb(loss, images, self.threat_model, self.ascent.steps, self.ascent.step_size, generator)
        return Adversarial((Perturbed(found),))

    def attacked_loss(self, model: ImageTextModel, images: Tensor, labels: Tensor, texts: Tensor) -> Tensor:
        """What the perturbation raises: the cross-entropy `(B,)` of images `(B, 3, H, W)` with leaf texts `(K, D)`."""
        logits = self.head.logits(self.head.lift_image(model.encode_image(images)), texts)
        return F.cross_entropy(logits, labels, reduction="none")

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy on the adversarial images; clean images play no part."""
        points = self.head.lift_image(model.encode_image(adversarial.images))
        logits = self.head.logits(points, self.leaf_points(model))
        loss = F.cross_entropy(logits, labels)
        accuracy = (labels_of(logits) == labels).float().mean()
        return loss, {"loss": loss.detach(), "adversarial_accuracy": accuracy.detach()}


class CleanObjective(TeCoAObjective):
    """Cross-entropy of clean images against fixed leaf texts: fine-tuning without an attacker."""

    def __init__(self, *, logit_scale: float | None = None) -> None:
        """Set the scale.

        Args:
            logit_scale: Fixed scale of the cosines; None takes the model's.
        """
        super().__init__(logit_scale=logit_scale, threat_model=ThreatModel(eps=0.0), ascent=Ascent(steps=0))
