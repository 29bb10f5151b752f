"""Objectives that know the leaf classes only: TeCoA, and clean fine-tuning as its limit without a perturbation.

Source of TeCoA: "Understanding Zero-Shot Adversarial Robustness for Large-Scale Models", Mao et al., ICLR 2023
(arXiv 2212.07016): cross-entropy of the adversarial image against the fixed texts of the classes, the perturbation
found by PGD on that same loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hrvlm.attacks import perturb
from hrvlm.attacks.threat_model import Norm
from hrvlm.models.finite import labels_of
from hrvlm.models.heads import CosineHead, Head
from hrvlm.objectives.base import Adversarial, ImageTextModel, Objective, Perturbed


class TeCoAObjective(Objective):
    """Cross-entropy of adversarial images against fixed leaf texts, scored by scaled cosines."""

    trains_text = False

    def __init__(
        self,
        *,
        logit_scale: float | None = None,
        norm: Norm = "linf",
        eps: float = 1.0 / 255.0,
        steps: int = 3,
        step_size: float = 1.0 / 255.0,
        random_start: bool = True,
    ) -> None:
        """Set the perturbation and the scale.

        Args:
            logit_scale: Fixed scale of the cosines; None takes the model's.
            norm: Norm of the perturbation.
            eps: Budget in pixel units.
            steps: Steps of the ascent.
            step_size: Length of a step in pixel units.
            random_start: Start from a random point of the budget.
        """
        super().__init__(norm=norm, eps=eps, steps=steps, step_size=step_size, random_start=random_start)
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
            logits = self.head.logits(self.head.lift_image(model.encode_image(pixels)), texts)
            return F.cross_entropy(logits, labels, reduction="none")

        found = perturb(loss, images, self.threat_model, self.steps, self.step_size, generator)
        return Adversarial((Perturbed(found),))

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
        super().__init__(logit_scale=logit_scale, eps=0.0, steps=0)
