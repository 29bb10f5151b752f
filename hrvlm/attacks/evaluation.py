"""Accuracy of every level's classifier, clean and under attacks aimed at that level."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from hrvlm.attacks.perturbation import frozen_parameters, pgd
from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.models import HierarchicalClassifier, LevelKey, evaluating


def attacked_predictions(
    classifier: HierarchicalClassifier,
    images: Tensor,
    labels: Tensor,
    key: LevelKey,
    threat_model: ThreatModel,
    *,
    steps: int = 20,
) -> Tensor:
    """Labels (N,) that a level's classifier gives to images attacked by PGD against that classifier.

    The attack starts at the clean images, so that the result does not depend on batching; an image that is
    misclassified at the clean image keeps that label.

    Args:
        classifier: On pixels.
        images: (N, 3, H, W) in [0, 1].
        labels: Leaf labels (N,).
        key: The level that is attacked and evaluated.
        threat_model: Norm and budget.
        steps: Of PGD, with step size 2.5·eps/steps.
    """
    targets = classifier.target(labels, key)
    with evaluating(classifier), frozen_parameters(classifier):
        adversarial = pgd(partial(classifier.logits, key=key), images, targets, threat_model, steps)
        with torch.no_grad():
            clean = classifier.predict(images, [key])[key]
            attacked = classifier.predict(adversarial, [key])[key]
    return torch.where(clean == targets, attacked, clean)
