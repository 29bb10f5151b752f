"""Attacks on coherence itself: a picture whose leaf stays right while a superclass turns wrong, or the reverse.

A picture that is still a "robin" to the leaf classifier but no "bird" to the level above passes every check of either
alone. PGD climbs the smaller of two margins, that of the level to be kept and that of the level to be turned, from the
clean image, in `steps` steps of 2.5·eps/steps. Labels that are decoded along one path cannot part in the first way.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from hrvlm.attacks.adapter import AttackOutcome, attack, within_budget
from hrvlm.attacks.names import AttackSettings, parting
from hrvlm.attacks.perturbation import perturb
from hrvlm.attacks.pixel_classifier import undisturbed
from hrvlm.attacks.score_losses import margin
from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.models import HierarchicalClassifier, LevelKey, labels_of


class Aim(NamedTuple):
    """What an attack on coherence does: which of the two stays right, in how many steps."""

    keep: str
    steps: int


def aim_of(name: str) -> Aim | None:
    """What "leaf-kept20" or "superclass-kept20" (any number of steps) means; None for another name."""
    match = parting(name)
    return None if match is None else Aim(match[1], int(match[2]))


def attack_level(
    classifier: HierarchicalClassifier,
    images: Tensor,
    labels: Tensor,
    key: LevelKey,
    threat_model: ThreatModel,
    name: str,
    settings: AttackSettings,
) -> AttackOutcome:
    """Any attack by name on a level: on its classifier, or on how it agrees with the leaves.

    Args:
        classifier: On pixels.
        images: (N, 3, H, W) in [0, 1], float32 or float64.
        labels: Leaf labels (N,).
        key: The level.
        threat_model: Norm and budget.
        name: See `hrvlm.attacks.adapter.attack`; "leaf-kept20" and "superclass-kept20" besides.
        settings: Effort and seed.
    """
    aim = aim_of(name)
    if aim is not None:
        return attack_coherence(classifier, images, labels, key, threat_model, aim)
    logits = partial(classifier.logits, key=key)
    return attack(logits, images, classifier.target(labels, key), threat_model, name, settings)


def attack_coherence(
    classifier: HierarchicalClassifier,
    images: Tensor,
    labels: Tensor,
    key: LevelKey,
    threat_model: ThreatModel,
    aim: Aim,
) -> AttackOutcome:
    """Attacks the images whose leaf and superclass are both right, until one of them alone is.

    Args:
        classifier: On pixels.
        images: (N, 3, H, W) in [0, 1], float32 or float64.
        labels: Leaf labels (N,).
        key: Level of the superclass, above the leaves.
        threat_model: Norm and budget.
        aim: What is kept.

    Returns:
        The images within the budget; "broken" are those of which one is right and the other wrong, as the attack aims.
    """
    leaves, above = labels, classifier.target(labels, key)
    with undisturbed(classifier, seed=0):
        clean = images.detach().clone()
        parted = _Parted(classifier, key, aim.keep)
        with torch.no_grad():
            low, high = (labels_of(scores) for scores in parted.scores(clean))
        attacked = (low == leaves) & (high == above)
        found, chosen = clean.clone(), attacked.nonzero().flatten()
        broken = torch.zeros_like(attacked)
        if len(chosen) and threat_model.eps > 0.0:
            right = leaves[chosen], above[chosen]
            step_size = 2.5 * threat_model.eps / aim.steps
            start = clean[chosen]
            climbed = perturb(lambda x: parted.gain(x, *right), start, threat_model, aim.steps, step_size)
            found[chosen] = within_budget(climbed, start, threat_model)
            with torch.no_grad():
                broken[chosen] = parted.holds(found[chosen], *right)
    name = f"{aim.keep} x{aim.steps}"
    distance = threat_model.distance(found, clean).float().masked_fill(~broken, torch.nan)
    broken_by = [name if parts else None for parts in broken.tolist()]
    return AttackOutcome(images=found, attacked=attacked, broken_by=broken_by, distance=distance, members=(name,))


class _Parted(NamedTuple):
    """A leaf level and a level above it, one to be kept and one to be turned."""

    classifier: HierarchicalClassifier
    key: LevelKey
    keep: str

    def scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, K) of the leaves and (N, K_l) of the level above, from one pass through the image tower."""
        points = self.classifier.image_points(images)
        return self.classifier.scores(points, self.classifier.keys[0]), self.classifier.scores(points, self.key)

    def gain(self, images: Tensor, leaves: Tensor, above: Tensor) -> Tensor:
        """By how much (N,) the one is right and the other wrong; positive where both are."""
        low, high = self.scores(images)
        margins = -margin(low, leaves), -margin(high, above)
        kept, turned = margins if self.keep == "leaf-kept" else margins[::-1]
        return torch.minimum(kept, -turned)

    def holds(self, images: Tensor, leaves: Tensor, above: Tensor) -> Tensor:
        """Whether (N,) labels part as they should; none do where scores are not finite."""
        low, high = (labels_of(scores) for scores in self.scores(images))
        right = low == leaves, high == above
        kept, turned = right if self.keep == "leaf-kept" else right[::-1]
        return kept & ~turned & (low >= 0) & (high >= 0)
