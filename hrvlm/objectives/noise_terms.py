"""Terms on what a model answers under several noises of a picture, beside the loss of any objective.

Sources: "Consistency Regularization for Certified Robustness of Smoothed Classifiers", Jeong and Shin, NeurIPS 2020
(arXiv 2006.04062), and "MACER: Attack-free and Scalable Robust Training via Maximizing Certified Radius", Zhai et al.,
ICLR 2020 (arXiv 2001.02378).

Decided here, where the papers know one level and no attack: the terms look at the adversarial images, at the leaves for
objectives on leaves and at every level of every tree, with the levels' weights, for the hierarchical one; texts are
without perturbation; a level's classes are its nodes, without hierarchy-aware negatives.

Shapes: B images, m copies of each, K classes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from hrvlm.objectives.base import Objective
from hrvlm.objectives.interface import Adversarial, ImageTextModel
from hrvlm.objectives.level_scores import LevelScores
from hrvlm.objectives.noisy_model import NoisyModel, copies_of_points


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """λ·(1/m) Σ_i KL(F̄ ‖ F(x + ση_i)) + μ·H(F̄), F̄ being the mean answer.

    Attributes:
        weight: λ >= 0.
        entropy: μ >= 0.

    Raises:
        ValueError: If a weight is negative or not finite.
    """

    weight: float = 10.0
    entropy: float = 0.5

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class MaximizedRadius:
    """MACER's hinge on the certified radius of pictures that the smoothed classifier has right.

    Attributes:
        weight: λ >= 0.
        margin: γ >= 0, the radius over σ/2 that is enough.
        inverse_temperature: β >= 0 of the softmax that stands for votes.

    Raises:
        ValueError: If a number is negative or not finite.
    """

    weight: float = 12.0
    margin: float = 8.0
    inverse_temperature: float = 16.0

    def __post_init__(self) -> None:
        _check(self)


def _check(value: Consistency | MaximizedRadius) -> None:
    for name, number in asdict(value).items():
        if not 0.0 <= number < math.inf:
            raise ValueError(f"expected {name} >= 0 and finite of {type(value).__name__}, got {number}")


def consistency(log_probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Mean divergence KL(F̄ ‖ F_i) over the copies `(B,)`, and entropy of F̄ `(B,)`, of `(B, m, K)`."""
    mean = log_probabilities.logsumexp(1) - math.log(log_probabilities.shape[1])
    probability = mean.exp()
    divergence = (probability * (mean - log_probabilities.mean(1))).sum(-1)
    return divergence, -(probability * mean).sum(-1)


def radius_shortfall(log_probabilities: Tensor, targets: Tensor, margin: float, inverse_temperature: float) -> Tensor:
    """max(0, γ − (Φ⁻¹(ẑ_y) − Φ⁻¹(max of the others))) where the target's ẑ is largest, else 0: `(B,)`.

    Args:
        log_probabilities: `(B, m, K)`, K >= 2.
        targets: `(B,)`.
        margin: γ.
        inverse_temperature: β; ẑ is the mean over the copies of the softmax of β times the log-probabilities.
    """
    votes = (inverse_temperature * log_probabilities).softmax(-1).mean(1)
    own = votes.gather(1, targets[:, None]).squeeze(1)
    best = votes.scatter(1, targets[:, None], -1.0).amax(1)
    smallest = torch.finfo(votes.dtype).eps  # quantiles of 0 and 1 are infinite
    quantiles = (torch.special.ndtri(share.clamp(smallest, 1.0 - smallest)) for share in (own, best))
    shortfall = (margin - (next(quantiles) - next(quantiles))).clamp_min(0.0)
    return torch.where(own > best, shortfall, 0.0)


@dataclass(frozen=True, kw_only=True)
class NoiseTerms:
    """Which terms are added to an objective's loss; None leaves one out.

    Attributes:
        consistency: Consistency regularisation.
        radius: MACER's term.
    """

    consistency: Consistency | None = None
    radius: MaximizedRadius | None = None

    def of_level(self, scores: LevelScores, sigmas: Tensor) -> Tensor:
        """The terms at one level, a mean over the images, times the level's weight; `sigmas` `(B,)` of the noise."""
        found = scores.log_probabilities.new_zeros(())
        if self.consistency is not None:
            divergence, entropy = consistency(scores.log_probabilities)
            found = found + (self.consistency.weight * divergence + self.consistency.entropy * entropy).mean()
        if self.radius is not None and scores.log_probabilities.shape[-1] > 1:
            given = self.radius.margin, self.radius.inverse_temperature
            shortfall = radius_shortfall(scores.log_probabilities, scores.targets, *given)
            found = found + self.radius.weight * (sigmas / 2 * shortfall).mean()
        return scores.weight * found


def noisy_loss(
    objective: Objective,
    model: ImageTextModel,
    adversarial: Adversarial,
    images: Tensor,
    labels: Tensor,
    terms: NoiseTerms = NoiseTerms(),
) -> tuple[Tensor, dict[str, Tensor]]:
    """An objective's loss under all noises of a batch, and the terms; without noise the objective's loss.

    An objective that does not average over noises by itself (`Objective.smooths`) takes each copy of a picture for a
    picture: its loss is the mean over them, at the perturbation that was found under the first.

    Args:
        objective: Bound and prepared.
        model: The model, behind the batch's noise (`NoisyModel`) where there is any.
        adversarial: What `objective.perturb` found.
        images: Clean images `(B, 3, H, W)`.
        labels: Classes `(B,)`, or what takes their place (`Objective.targets`).
        terms: What is added.

    Returns:
        As `Objective.loss`; terms are logged as "noise_terms".

    Raises:
        ValueError: If a term needs classes and the objective has none.
    """
    if not isinstance(model, NoisyModel):
        return objective.loss(model, adversarial, images, labels)
    if terms.radius is not None and labels.is_floating_point():
        raise ValueError(
            f"expected no radius term with {type(objective).__name__}, which knows no classes: leave it out"
        )
    with model.keeping():
        if objective.smooths or model.copies == 1:
            loss, logs = objective.loss(model, adversarial, images, labels)
        else:
            parts = tuple(replace(part, images=model.repeated(part.images)) for part in adversarial.parts)
            every = model.repeated(images), labels.repeat(model.copies, *[1] * (labels.ndim - 1))
            loss, logs = objective.loss(model, Adversarial(parts), *every)
        if terms == NoiseTerms():
            return loss, logs
        added = loss.new_zeros(())
        for part in adversarial.parts:
            points = copies_of_points(objective.head, model, part.images)
            with torch.autocast(points.device.type, enabled=False):
                for scores in objective.level_scores(model, points, labels, part.level):
                    added = added + terms.of_level(scores, model.sigmas)
    total = loss + added
    return total, logs | {"loss": total.detach(), "noise_terms": added.detach()}
