"""Adversarial fine-tuning on pictures with captions, without class labels, as AdvFLYP does it.

Source: "Finetune Like You Pretrain: Boosting Zero-shot Adversarial Robustness in Vision-language Models", Xing et al.,
2026 (arXiv 2604.11576), of which the abstract was read: the recipe of CLIP's pretraining (Radford et al., 2021, arXiv
2103.00020) on adversarial images made from image-text pairs, matched with their texts by a contrastive loss;
regularised by penalising how far adversarial image features deviate, in terms at the level of logits (which benefits
robustness) and of features (clean accuracy). The image tower alone is trained.

Decided here:
- The contrastive loss is the mean of both directions over the global batch, with the head's scale; the perturbation is
  PGD on it, and on nothing else.
- Features: squared distance of unit-norm adversarial features from the original model's clean ones. Logits:
  KL(original ‖ trained) of the distributions of an image over the batch's captions, clean ‖ adversarial.
- Pairs of one and the same caption are no negatives of each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.models import evaluating
from hrvlm.models.finite import labels_of
from hrvlm.objectives.base import Adversarial, ImageTextModel, Perturbed, module_of
from hrvlm.objectives.gathering import across_processes, process_count
from hrvlm.objectives.pmg_aft import kl_divergence
from hrvlm.objectives.reference import ReferencedObjective

SAME_CAPTION = 1e-5  # one less the cosine of two captions that are the same but for rounding


class ImageTextContrastiveObjective(ReferencedObjective):
    """Contrastive loss of adversarial images with their captions, held to the original model's clean features."""

    def __init__(
        self,
        *,
        feature_weight: float = 1.0,
        logit_weight: float = 1.0,
        logit_scale: float | None = None,
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
    ) -> None:
        """Set the weights and the perturbation.

        Args:
            feature_weight: Weight >= 0 of the deviation of features.
            logit_weight: Weight >= 0 of the deviation of predictions over the batch's captions.
            logit_scale: Fixed scale of the cosines; None takes the model's.
            threat_model: Norm and budget of the perturbation.
            ascent: How it is sought.

        Raises:
            ValueError: If a weight is negative.
        """
        super().__init__(logit_scale=logit_scale, threat_model=threat_model, ascent=ascent)
        for name, value in (("feature_weight", feature_weight), ("logit_weight", logit_weight)):
            if not value >= 0.0:
                raise ValueError(f"expected {name} >= 0, got {value}: 0 switches the term off")
        self.feature_weight, self.logit_weight = feature_weight, logit_weight

    @torch.no_grad()
    def targets(self, model: ImageTextModel, batch: Mapping[str, Any]) -> Tensor:
        """Points `(B, D)` of the captions, without gradient: the text side stays fixed.

        Raises:
            ValueError: If the pictures have no captions.
        """
        if "caption" not in batch:
            raise ValueError(
                "expected pictures with captions, got a batch without: set caption_trees of EmojiDataModule, or use "
                "hrvlm.data.caption_shards.CaptionShardDataModule"
            )
        device = self.text_hidden.device.type
        with evaluating(module_of(model)), torch.autocast(device, enabled=False):  # as other texts are computed
            return self.head.lift_text(model.project_text(model.text_hidden(batch["caption"])).float(), 0)

    def find_perturbation(
        self, model: ImageTextModel, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Adversarial:
        """PGD on the contrastive loss; `labels` are the captions' points."""
        captions = across_processes(labels)

        def loss(pixels: Tensor) -> Tensor:
            return self._contrast(self.head.lift_image(model.encode_image(pixels)), captions)

        return Adversarial((Perturbed(self.ascent.perturb(loss, images, self.threat_model, generator)),))

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean contrastive loss and both deviations; `labels` are the captions' points."""
        captions = across_processes(labels)
        points = self.head.lift_image(model.encode_image(adversarial.images))
        original = self.head.lift_image(self.reference_features(images))
        logits = self.head.logits(points, captions)
        contrast = self._contrast(points, captions).mean()
        features = (points - original).square().sum(dim=-1).mean()
        deviation = kl_divergence(self.head.logits(original, captions), logits).mean()
        loss = contrast + self.feature_weight * features + self.logit_weight * deviation
        matched = (labels_of(logits) == self._own(labels)).float().mean()
        logs = {"loss": loss, "contrast": contrast, "features": features, "logits": deviation, "matched": matched}
        return loss, {name: number.detach() for name, number in logs.items()}

    def _contrast(self, points: Tensor, captions: Tensor) -> Tensor:
        """Contrastive loss `(B,)` of this process's images and captions within the global batch."""
        own, everyone = self._own(points), across_processes(points)
        logits = self.head.logits(points, captions), self.head.logits(captions[own], everyone)
        return pair_losses(*logits, own, same_captions(captions[own], captions))

    @staticmethod
    def _own(rows: Tensor) -> Tensor:
        """Places `(B,)` of this process's pairs in the global batch."""
        first = dist.get_rank() * len(rows) if process_count() > 1 else 0
        return torch.arange(first, first + len(rows), device=rows.device)


def same_captions(captions: Tensor, others: Tensor) -> Tensor:
    """Which caption points `(B, D)` and `(M, D)`, of unit norm, are of the same words: bool `(B, M)`."""
    with torch.autocast(captions.device.type, enabled=False):
        return captions @ others.mT > 1.0 - SAME_CAPTION


def pair_losses(image_logits: Tensor, caption_logits: Tensor, own: Tensor, same: Tensor) -> Tensor:
    """Symmetric softmax loss (Radford et al., 2021, arXiv 2103.00020, section 2.3) of B of M pairs, pair by pair.

    Args:
        image_logits: `(B, M)`, of the B images with all captions.
        caption_logits: `(B, M)`, of the B captions with all images.
        own: Place of each of the B pairs among all `(B,)`.
        same: Which captions are the same `(B, M)`; such pairs, but for the own one, are left out of both softmaxes.

    Returns:
        `(B,)`.
    """
    left_out = same & (own[:, None] != torch.arange(same.shape[1], device=same.device))
    image_side, caption_side = (
        F.cross_entropy(logits.masked_fill(left_out, float("-inf")), own, reduction="none")
        for logits in (image_logits, caption_logits)
    )
    return (image_side + caption_side) / 2
