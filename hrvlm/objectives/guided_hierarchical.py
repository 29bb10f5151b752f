"""Hierarchical fine-tuning that is guided, at every level, by the model that it starts from.

Sources: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867) for the
loss that is guided; "Pre-trained Model Guided Fine-Tuning for Zero-Shot Adversarial Robustness", Wang et al., CVPR 2024
(arXiv 2401.04350) for the two divergences, which know one set of classes there.

Decided here: a divergence is taken among the nodes of each level of each tree, without hierarchy-aware negatives, times
the level's weight, and summed like the alignment; the starting model's features are scored by the head and the texts
being trained, without gradient; texts are without perturbation; under several noises of a picture predictions are
averaged before the divergence, and the starting model sees pictures without noise.

Shapes: B images, m copies of each, K nodes of a level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from hrvlm.objectives.base import Adversarial, ImageTextModel, Perturbed
from hrvlm.objectives.encoded_once import EncodedOnce
from hrvlm.objectives.hierarchical_objective import HierarchicalObjective
from hrvlm.objectives.noisy_model import copies_of_points
from hrvlm.objectives.pmg_aft import kl_divergence
from hrvlm.objectives.reference import Referenced

Shown = Literal["adversarial", "clean"]


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """How much predictions on adversarial images are drawn to others.

    Attributes:
        general: Weight α >= 0 of KL(adversarial ‖ starting model).
        clean: Weight β >= 0 of KL(adversarial ‖ the model itself on clean images), which costs a pass more.
        shown: What the starting model sees: the "adversarial" images, as in the paper, or the "clean" ones.

    Raises:
        ValueError: If a weight is negative or not finite, or the name unknown.
    """

    general: float = 1.0
    clean: float = 1.0
    shown: Shown = "adversarial"

    def __post_init__(self) -> None:
        for name in ("general", "clean"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"expected {name} >= 0 and finite of the guidance, got {getattr(self, name)}: 0 switches it off"
                )
        if self.shown not in get_args(Shown):
            raise ValueError(f"expected shown of the guidance among {', '.join(get_args(Shown))}, got {self.shown!r}")


class GuidedHierarchicalObjective(Referenced, HierarchicalObjective):
    """The hierarchical loss plus α·Σ ω_l·KL_l(adversarial ‖ starting model) + β·Σ ω_l·KL_l(adversarial ‖ clean).

    Sums run over the levels of all trees; the perturbation is that of the hierarchical objective, neither divergence is
    ascended.
    """

    ascent_options = HierarchicalObjective.ascent_options

    def __init__(self, *, guidance: Guidance = Guidance(), **arguments: Any) -> None:
        """Set the weights of the guidance.

        Args:
            guidance: Weights of the divergences.
            **arguments: As `HierarchicalObjective` takes them.
        """
        super().__init__(**arguments)
        self.guidance = guidance

    def loss(
        self, model: ImageTextModel, adversarial: Adversarial, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The hierarchical loss with both divergences, which are logged as "general" and "clean"."""
        seen = model if isinstance(model, EncodedOnce) else EncodedOnce(model)
        with seen.keeping():
            loss, logs = super().loss(seen, adversarial, images, labels)
            terms = {name: loss.new_zeros(()) for name in ("general", "clean")}
            for part in adversarial.parts:
                for name, points in self._others(seen, part, images).items():
                    terms[name] = terms[name] + self._divergence(seen, part, points, labels)
        total = loss + self.guidance.general * terms["general"] + self.guidance.clean * terms["clean"]
        return total, logs | {"loss": total.detach()} | {name: term.detach() for name, term in terms.items()}

    def _others(self, model: ImageTextModel, part: Perturbed, images: Tensor) -> dict[str, Tensor]:
        """Points `(B, m, D)` whose predictions those on adversarial images are drawn to, by the term; weighed ones."""
        found = {}
        if self.guidance.general:
            shown = part.images if self.guidance.shown == "adversarial" else images
            with torch.no_grad():
                found["general"] = self.head.lift_image(self.reference_features(shown))[:, None]
        if self.guidance.clean:
            found["clean"] = copies_of_points(self.head, model, images)
        return found

    def _divergence(self, model: ImageTextModel, part: Perturbed, points: Tensor, labels: Tensor) -> Tensor:
        """Σ ω_l·KL_l over levels and trees, a mean over images."""
        own = copies_of_points(self.head, model, part.images)
        with torch.autocast(own.device.type, enabled=False):
            pairs = zip(*(self.level_scores(model, each, labels, part.level) for each in (own, points)), strict=True)
            terms = [
                first.weight * mean_divergence(first.log_probabilities, other.log_probabilities).mean()
                for first, other in pairs
            ]
            return torch.stack(terms).sum()


def mean_divergence(log_probabilities: Tensor, others: Tensor) -> Tensor:
    """KL(F̄ ‖ Ḡ) of the means over copies, of logarithms `(B, m, K)` and `(B, n, K)` to `(B,)`."""
    first, second = (found.logsumexp(1) - math.log(found.shape[1]) for found in (log_probabilities, others))
    return kl_divergence(first, second)
