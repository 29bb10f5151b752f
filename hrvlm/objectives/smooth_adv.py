"""SmoothAdv: adversarial training of the smoothed classifier over leaf classes.

Source: "Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers", Salman et al., NeurIPS 2019
(arXiv 1906.04584): δ maximises −log (1/m) Σ_i softmax_y F(x + δ + ση_i) within the budget, and the loss is the same
number at the δ found, the m noises being those of the whole step.
"""

from __future__ import annotations

from torch import Tensor

from hrvlm.models.finite import labels_of
from hrvlm.objectives.cross_entropies import smoothed_cross_entropy
from hrvlm.objectives.flat import TeCoAObjective
from hrvlm.objectives.interface import Adversarial, ImageTextModel
from hrvlm.objectives.noisy_model import copies_of_points


class SmoothAdvObjective(TeCoAObjective):
    """Cross-entropy of mean probabilities over a picture's noises, against fixed leaf texts.

    With a single noise this is TeCoA on noisy pictures. The hierarchical objective does the same at every level.
    """

    smooths = True

    def _logits(self, model: ImageTextModel, images: Tensor, texts: Tensor) -> Tensor:
        """Of every copy, `(B, m, K)`."""
        points = copies_of_points(self.head, model, images)
        return self.head.logits(points.flatten(0, 1), texts).unflatten(0, points.shape[:2])

    def attacked_loss(self, model: ImageTextModel, images: Tensor, labels: Tensor, texts: Tensor) -> Tensor:
        """−log of each picture's mean probability of its class `(B,)`."""
        return smoothed_cross_entropy(self._logits(model, images, texts), labels)

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean cross-entropy of mean probabilities on the adversarial images; clean images play no part."""
        logits = self._logits(model, adversarial.images, self.leaf_points(model))
        loss = smoothed_cross_entropy(logits, labels).mean()
        accuracy = (labels_of(logits.log_softmax(-1).logsumexp(1)) == labels).float().mean()
        return loss, {"loss": loss.detach(), "adversarial_accuracy": accuracy.detach()}
