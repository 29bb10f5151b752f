"""A PGD attack on one picture: the picture, its magnified difference, and what every level says before and after."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hrvlm.attacks.adapter import attack
from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.explorer.extents import class_words
from hrvlm.models import HierarchicalClassifier, LevelKey, inferring

MOST_STEPS = 200
GUARANTEE = (
    "No guarantee: an attack that fails proves nothing, a stronger one may succeed. One that succeeds proves that the "
    "level is not robust at this picture within eps. The class that the level gives to the clean picture is taken "
    "for the right one; the attack starts at the clean picture and has this level alone as its aim."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Attacked:
    """What an attack did to a picture.

    Attributes:
        image: (3, H, W) in [0, 1], within the budget.
        difference: (3, H, W) in [0, 1], grey where nothing changed; the budget reaches from black to white.
        gain: By how much the difference is magnified.
        distance: Of the two pictures, in the norm of the threat model and pixel units.
        broken: Whether the attacked level changed its prediction.
        levels: (level, prediction before, prediction after) of every level, in words.
    """

    image: Tensor
    difference: Tensor
    gain: float
    distance: float
    broken: bool
    levels: list[tuple[str, str, str]]


def attack_picture(
    classifier: HierarchicalClassifier, image: Tensor, key: LevelKey, threat_model: ThreatModel, steps: int = 20
) -> Attacked:
    """Attacks one level by PGD.

    Args:
        classifier: On pixels.
        image: (3, H, W) in [0, 1].
        key: The level.
        threat_model: Norm and budget.
        steps: Of PGD, with step size 2.5·eps/steps; from 1 to 200.

    Raises:
        ValueError: If steps are out of range, the level has one class, or the picture has no finite scores.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"expected steps from 1 to {MOST_STEPS} in the explorer, got {steps}")
    images = image[None].to(classifier.text_points(key).device)
    with inferring(classifier):
        before = classifier.predict(images)
    if int(before[key]) < 0:
        raise ValueError("expected finite scores of the picture, got NaN or infinity; check the weights")
    outcome = attack(partial(classifier.logits, key=key), images, before[key], threat_model, f"pgd{steps}")
    with inferring(classifier):
        after = classifier.predict(outcome.images)
    found = outcome.images[0].detach().cpu()
    difference, gain = magnified(found - image.cpu())
    return Attacked(
        image=found,
        difference=difference,
        gain=gain,
        distance=float(threat_model.distance(outcome.images, images)[0]),
        broken=int(after[key]) != int(before[key]),
        levels=[
            (
                classifier.name(each),
                class_words(classifier, each, int(before[each])),
                class_words(classifier, each, int(after[each])),
            )
            for each in classifier.keys
        ],
    )


def magnified(difference: Tensor) -> tuple[Tensor, float]:
    """A difference (3, H, W) of pictures as a picture around grey, and the gain at which its largest value is full."""
    largest = float(difference.abs().max())
    gain = 0.5 / largest if largest > 0 else 1.0
    return torch.clamp(0.5 + gain * difference, 0.0, 1.0), gain
