"""PMG-AFT: adversarial fine-tuning guided by the predictions of the model that it starts from.

Source: "Pre-trained Model Guided Fine-Tuning for Zero-Shot Adversarial Robustness", Wang et al., CVPR 2024
(arXiv 2401.04350): L = L_robust + α·L_general + β·L_clean. L_robust is TeCoA's cross-entropy of the adversarial images;
L_general draws the predictions on adversarial images towards those of the frozen pre-trained model on the same
adversarial images; L_clean draws them towards the model's own predictions on the clean images.

Decided here, where the paper leaves it open:
- The perturbation is TeCoA's: PGD on L_robust of the model being trained; neither divergence is ascended.
- All predictions are the softmax over the leaf classes of scaled cosines (features of unit norm), with the texts and
  the scale of the head for both models: no further temperature.
- The divergences are KL(adversarial ‖ other), summed over classes and averaged over images; `kl="from_other"` takes
  KL(other ‖ adversarial) instead, in which the other prediction is the target.
- The gradient of L_clean flows through both of its predictions; the frozen model gets none.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.models.finite import labels_of
from hrvlm.objectives.base import PERTURBATION, Adversarial, ImageTextModel
from hrvlm.objectives.reference import ReferencedObjective
from hrvlm.objectives.soft_targets import SoftTargets
from hrvlm.old_keys import old_keys

KLOrder = Literal["from_adversarial", "from_other"]


@old_keys(**PERTURBATION)
class PMGAFTObjective(ReferencedObjective):
    """TeCoA plus divergences from the frozen model's predictions and from the predictions on clean images."""

    ascent_options = frozenset({"loss"})

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 1.0,
        kl: KLOrder = "from_adversarial",
        logit_scale: float | None = None,
        soft_targets: SoftTargets | None = None,
        threat_model: ThreatModel = ThreatModel(),
        ascent: Ascent = Ascent(),
    ) -> None:
        """Set the weights and the perturbation.

        Args:
            alpha: Weight α >= 0 of L_general.
            beta: Weight β >= 0 of L_clean.
            kl: "from_adversarial" for KL(adversarial ‖ other), "from_other" for KL(other ‖ adversarial).
            logit_scale: Fixed scale of the cosines; None takes the model's.
            soft_targets: Smooths the labels of L_robust, as TeCoA has them; the paper has hard ones, None.
            threat_model: Norm and budget of the perturbation.
            ascent: How it is sought.

        Raises:
            ValueError: If a weight is negative or the direction unknown.
        """
        super().__init__(logit_scale=logit_scale, soft_targets=soft_targets, threat_model=threat_model, ascent=ascent)
        for name, value in (("alpha", alpha), ("beta", beta)):
            if not value >= 0.0:
                raise ValueError(f"expected {name} >= 0, got {value}: 0 switches the term off")
        if kl not in get_args(KLOrder):
            raise ValueError(f"expected kl to be one of {', '.join(get_args(KLOrder))}, got {kl!r}")
        self.alpha, self.beta, self.kl = alpha, beta, kl

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """L_robust + α·L_general + β·L_clean."""
        texts = self.leaf_points(model)

        def predict(features: Tensor) -> Tensor:
            return self.head.logits(self.head.lift_image(features), texts)

        logits = predict(model.encode_image(adversarial.images))
        robust = self.classification_loss(logits, labels)
        with torch.no_grad():
            reference = predict(self.reference_features(adversarial.images))
        general = self._divergence(logits, reference)
        clean = self._divergence(logits, predict(model.encode_image(images))) if self.beta else torch.zeros_like(robust)
        loss = robust + self.alpha * general + self.beta * clean
        accuracy = (labels_of(logits) == labels).float().mean()
        logs = {"loss": loss, "robust": robust, "general": general, "clean": clean, "adversarial_accuracy": accuracy}
        return loss, {name: number.detach() for name, number in logs.items()}

    def _divergence(self, adversarial: Tensor, other: Tensor) -> Tensor:
        """Mean over images of the divergence between the softmaxes of two matrices of logits `(N, K)`."""
        first, second = (adversarial, other) if self.kl == "from_adversarial" else (other, adversarial)
        return kl_divergence(first, second).mean()


def kl_divergence(logits: Tensor, other: Tensor) -> Tensor:
    """KL(softmax(logits) ‖ softmax(other)) row by row, `(N, K)` and `(N, K)` to `(N,)`, in float32 at least.

    Both logarithms are taken of the logits, so that classes of vanishing probability add zero, not NaN.
    """
    first, second = (
        values.to(torch.promote_types(values.dtype, torch.float32)).log_softmax(-1) for values in (logits, other)
    )
    return (first.exp() * (first - second)).sum(dim=-1)
