"""SmoothAdv: adversarial training of the smoothed classifier over leaf classes.

Source: "Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers", Salman et al., NeurIPS 2019
(arXiv 1906.04584): δ maximises −log (1/m) Σ_i softmax_y F(x + δ + ση_i) within the budget, and the loss is the same
number at the δ found, the m noises being those of the whole step.
"""

from __future__ import annotations

from torch import Tensor

from hrvlm.objectives.flat import TeCoAObjective
from hrvlm.objectives.interface import ImageTextModel
from hrvlm.objectives.noisy_model import copies_of_points
from hrvlm.objectives.smoothed_scores import smoothed_scores


class SmoothAdvObjective(TeCoAObjective):
    """Cross-entropy of mean probabilities over a picture's noises, against fixed leaf texts.

    With a single noise this is TeCoA on noisy pictures. The hierarchical objective does the same at every level.
    """

    smooths = True

    def leaf_scores(self, model: ImageTextModel, images: Tensor, texts: Tensor) -> Tensor:
        """Logarithms of mean probabilities `(B, K)`, up to a number for each image, see `smoothed_scores`."""
        points = copies_of_points(self.head, model, images)
        return smoothed_scores(self.head.logits(points.flatten(0, 1), texts).unflatten(0, points.shape[:2]))
