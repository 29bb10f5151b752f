"""One door to the attacks of evaluation: any classifier on pixels, any attack by name, one threat model.

Whatever torchattacks does to modes, gradients, devices and random state ends here, and what it returns is brought into
the budget and judged by the classifier itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hrvlm.attacks.names import AttackSettings
from hrvlm.attacks.non_finite import seeking
from hrvlm.attacks.pixel_classifier import Logits, PixelClassifier, undisturbed
from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.models import labels_of

if TYPE_CHECKING:
    from hrvlm.attacks.ensemble import Member

_DEFAULT = AttackSettings()


@dataclass(frozen=True, eq=False)
class AttackOutcome:
    """What an attack did to a batch.

    Attributes:
        images: (N, 3, H, W), within budget and bounds; the clean image where there was no attack, or where the attack
            keeps no failed attempt (PGD does, CW and AutoAttack do not).
        attacked: (N,) whether the clean image was classified correctly, and therefore attacked.
        broken_by: Per image the member that first made the classifier err within the budget, or None.
        distance: (N,) distance in the threat model's norm, in pixel units, of the nearest wrongly classified image that
            the attack found, before it was brought into the budget (so CW's may exceed eps); NaN where it found none.
        members: Names of the attacks that were run, with their effort.
    """

    images: Tensor
    attacked: Tensor
    broken_by: list[str | None]
    distance: Tensor
    members: tuple[str, ...]


def attack(
    logits: Logits,
    images: Tensor,
    labels: Tensor,
    threat_model: ThreatModel,
    name: str = "pgd20",
    settings: AttackSettings = _DEFAULT,
) -> AttackOutcome:
    """Attacks the images that a classifier gets right; scores that are not finite are wrong, whatever the label is.

    Works under `torch.no_grad` and `torch.inference_mode`. Modes of every sub-module, `requires_grad`, `.grad` and the
    global random state are afterwards as before. Results are a function of arguments alone; those of attacks other than
    "pgd" and "margin" also depend on which images share a batch.

    Args:
        logits: Maps images in [0, 1] to scores (N, K), K >= 2; normalisation is inside. A module, a module's method or
            a `functools.partial` of either is put into eval mode meanwhile; of other callables the caller takes care.
        images: (N, 3, H, W), float32 or float64; the attack runs on their device.
        labels: (N,) right classes.
        threat_model: Norm and budget, with bounds (0, 1).
        name: "pgd20", "margin20" (PGD on the margin of Carlini and Wagner, any number of steps), "cw", "autoattack",
            one of its members "apgd-ce", "apgd-t", "fab-t", "square", or "apgd" (the first two of them).
        settings: Effort and seed.

    Raises:
        ValueError: If an argument does not fit, or the scores do not depend on the images.
        NonFiniteError: If a gradient is NaN or infinite where scores are not.
    """
    from hrvlm.attacks.ensemble import build_members  # brings torchattacks, with all statistics of SciPy

    _check(images, labels, threat_model, name)
    with undisturbed(logits, settings.seed):
        # Clones are normal tensors even where the originals were made in inference mode.
        clean = images.detach().clone(memory_format=torch.contiguous_format)
        targets = labels.detach().clone().to(images.device)
        classifier = PixelClassifier(logits, clean)
        with torch.no_grad():
            scores = classifier.scores(clean)
        _check_scores(scores, targets)
        members = build_members(name, classifier, scores.shape[1], threat_model, settings)
        outcome = AttackOutcome(
            images=clean.clone(),
            attacked=labels_of(scores) == targets,
            broken_by=[None] * len(clean),
            distance=torch.full((len(clean),), torch.nan, device=clean.device),
            members=tuple(member.name for member in members),
        )
        left = outcome.attacked.nonzero().flatten()
        for member in members if threat_model.eps > 0.0 else []:
            left = _run(member, classifier, clean, targets, threat_model, left, outcome)
    return outcome


def _run(
    member: Member,
    classifier: PixelClassifier,
    clean: Tensor,
    targets: Tensor,
    threat_model: ThreatModel,
    left: Tensor,
    outcome: AttackOutcome,
) -> Tensor:
    """Runs a member on the images that are left, notes what it did, and returns the images still left."""
    if not len(left):
        return left
    start, labels = clean[left], targets[left]
    found = seeking(member.run, start.float(), labels).detach().to(clean.dtype)
    # FAB divides by gradients and may return NaN for an image: an attempt that failed.
    finite = found.isfinite().flatten(1).all(dim=1).view(-1, 1, 1, 1)
    found = torch.where(finite, found, start).clamp(*threat_model.bounds)
    inside = within_budget(found, start, threat_model)
    fooled, broken = (classifier.predict(candidate) != labels for candidate in (found, inside))
    outcome.images[left] = inside
    distance = threat_model.distance(found, start).float().masked_fill(~fooled, torch.nan)
    outcome.distance[left] = outcome.distance[left].fmin(distance)  # the smaller, and a number rather than none
    for position in left[broken].tolist():
        outcome.broken_by[position] = member.name
    return left[~broken]


def within_budget(adversarial: Tensor, images: Tensor, threat_model: ThreatModel) -> Tensor:
    """Images brought into budget and bounds so that no rounding of theirs lies outside, in exact arithmetic.

    Args:
        adversarial: (N, 3, H, W), finite.
        images: Clean images of the same shape, within the bounds.
        threat_model: Norm, budget and bounds; the budget is used up to a few millionths.
    """
    largest = max(1.0, *(abs(bound) for bound in threat_model.bounds))
    rounding = torch.finfo(images.dtype).eps / 2 * largest  # of the sum images + δ, per pixel
    if threat_model.norm == "l2":
        rounding *= max(images[0].numel(), 1) ** 0.5
    inner = replace(threat_model, eps=max(threat_model.eps * (1.0 - 4e-6) - rounding, 0.0))
    return (images + inner.project(adversarial - images, images)).clamp(*threat_model.bounds)


def _check(images: Tensor, labels: Tensor, threat_model: ThreatModel, name: str) -> None:
    threat_model.check_images(images)
    if images.ndim != 4 or images.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"expected images (N, 3, H, W) in float32 or float64, got {tuple(images.shape)} {images.dtype}: "
            "a budget does not survive fewer digits"
        )
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"expected labels ({len(images)},) in int64, got {tuple(labels.shape)} {labels.dtype}")
    if threat_model.bounds != (0.0, 1.0):
        raise ValueError(f"expected a threat model with bounds (0.0, 1.0), got {threat_model.bounds}: attack pixels")
    if name in ("square", "autoattack") and threat_model.norm == "l2":
        height, width = images.shape[2:]
        first_square = round((0.8 * height * width) ** 0.5) | 1
        if min(height, width) < max(5, first_square):
            raise ValueError(f"expected nearly square images, at least 5 x 5, for Square in l2, got {height} x {width}")


def _check_scores(scores: Tensor, labels: Tensor) -> None:
    if scores.ndim != 2 or len(scores) != len(labels) or scores.shape[1] < 2:
        raise ValueError(
            f"expected scores (N, K) of N={len(labels)} images and K >= 2 classes, got {tuple(scores.shape)}"
        )
    if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < scores.shape[1]):
        raise ValueError(f"expected labels from 0 to {scores.shape[1] - 1}, got {labels.min()} to {labels.max()}")
