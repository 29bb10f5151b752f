"""Objectives that know the leaf classes only: TeCoA, and clean fine-tuning as its limit without a perturbation.

Source of TeCoA: "Understanding Zero-Shot Adversarial Robustness for Large-Scale Models", Mao et al., ICLR 2023
(arXiv 2212.07016): cross-entropy of the adversarial image against the fixed texts of the classes, the perturbation
found by PGD on that same loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.models.finite import labels_of
from hrvlm.models.heads import CosineHead, Head
from hrvlm.objectives.base import PERTURBATION, Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.objectives.soft_targets import SoftTargets, leaf_targets, soft_cross_entropy
from hrvlm.old_keys import old_keys
from hrvlm.trees import Forest


@old_keys(**PERTURBATION)
class TeCoAObjective(Objective):
    """Cross-entropy of adversarial images against fixed leaf texts, scored by scaled cosines."""

    trains_text = False
    ascent_options = frozenset({"loss"})
    leaf_targets: Tensor | None

    def __init__(
        self,
        *,
        logit_scale: float | None = None,
        soft_targets: SoftTargets | None = None,
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
    ) -> None:
        """Set the perturbation and the scale.

        Args:
            logit_scale: Fixed scale of the cosines; None takes the model's.
            soft_targets: Smooths labels over the leaves by their distance in the trees, on average; None for hard ones.
            threat_model: Norm and budget of the perturbation.
            ascent: How it is sought.
        """
        super().__init__(threat_model=threat_model, ascent=ascent)
        self.logit_scale, self.soft_targets = logit_scale, soft_targets

    def bind(self, forest: Forest) -> None:
        """Make the head, and soft targets where there are some, see `Objective.bind`."""
        super().bind(forest)
        found = None if self.soft_targets is None else leaf_targets(forest, self.soft_targets)
        self.register_buffer("leaf_targets", found, persistent=False)

    def classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of leaf scores `(B, K)` with the labels `(B,)`, hard or soft."""
        if self.leaf_targets is None:
            return F.cross_entropy(logits, labels)
        return soft_cross_entropy(logits, labels, self.leaf_targets).mean()

    def make_head(self, num_levels: int) -> Head:
        """A cosine head with a fixed scale."""
        return CosineHead(self.logit_scale, trainable=False)

    def leaf_points(self, model: ImageTextModel) -> Tensor:
        """Points of the leaf texts `(K, D)`, without gradient: TeCoA keeps the text side fixed."""
        with torch.no_grad():
            return self.head.lift_text(self.text_features(model)[: len(self.forest.leaves)], 0)

    def leaf_scores(self, model: ImageTextModel, images: Tensor, texts: Tensor) -> Tensor:
        """Scores `(B, K)` of images `(B, 3, H, W)` against points of leaf texts `(K, D)`."""
        return self.head.logits(self.head.lift_image(model.encode_image(images)), texts)

    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """Ascent on the cross-entropy of the leaf classes, or on the loss that `ascent.loss` names."""
        texts, raised = self.leaf_points(model), self.ascent.score_loss()

        def loss(pixels: Tensor) -> Tensor:
            return raised(self.leaf_scores(model, pixels, texts), labels)

        return Adversarial((Perturbed(self.ascent.perturb(loss, images, self.threat_model, generator)),))

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy on the adversarial images; clean images play no part."""
        logits = self.leaf_scores(model, adversarial.images, self.leaf_points(model))
        loss = self.classification_loss(logits, labels)
        accuracy = (labels_of(logits) == labels).float().mean()
        return loss, {"loss": loss.detach(), "adversarial_accuracy": accuracy.detach()}


class CleanObjective(TeCoAObjective):
    """Cross-entropy of clean images against fixed leaf texts: fine-tuning without an attacker."""

    def __init__(self, *, logit_scale: float | None = None, soft_targets: SoftTargets | None = None) -> None:
        """Set the scale.

        Args:
            logit_scale: Fixed scale of the cosines; None takes the model's.
            soft_targets: As TeCoA has them.
        """
        super().__init__(
            logit_scale=logit_scale,
            soft_targets=soft_targets,
            threat_model=ThreatModel(eps=0.0),
            ascent=Ascent(steps=0),
        )
