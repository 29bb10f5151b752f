"""How a perturbation is sought in training, as a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from hrvlm.attacks.perturbation import check_steps, perturb
from hrvlm.attacks.score_losses import LOSSES, AscendedLoss, ScoreLoss
from hrvlm.attacks.step_rules import Rule, StepRule
from hrvlm.attacks.threat_model import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Projected gradient ascent within a threat model (Madry et al., ICLR 2018, arXiv 1706.06083).

    Every rule and loss costs one gradient a step, and every further start one more in the first.

    Attributes:
        steps: Steps of the ascent, in [0, 100,000]; 0 trains on clean images.
        step_size: Length >= 0 of a step in pixel units, where images lie in [0, 1]; with "apgd" of the first.
        random_start: Starts from a random point of the budget if the caller has random numbers, else from the images.
        rule: "sign": steps along the gradient alone, its sign in linf; "momentum": of MI-FGSM (arXiv 1710.06081);
            "apgd": of APGD (arXiv 2003.01690), see `step_rules`.
        momentum: How much of former steps goes into the next, see `StepRule`; None for what the rule's paper takes.
        loss: What is raised at every level: "cross_entropy", "margin" (arXiv 1608.04644), or "dlr", the difference of
            logits ratio (arXiv 2003.01690); None for the objective's own. Objectives that attack something else than
            scores of classes take None only.
        starts: Random points whose gradients the first step averages, from their mean; several need `random_start`.
        trees_per_step: How many trees of a forest each step raises the loss of, in turn; None for all of them. Of the
            hierarchical objective only.

    Raises:
        ValueError: If a number is out of range, or a name unknown.
    """

    steps: int = 3
    step_size: float = 1.0 / 255.0
    random_start: bool = True
    rule: Rule = "sign"
    momentum: float | None = None
    loss: AscendedLoss | None = None
    starts: int = 1
    trees_per_step: int | None = None

    def __post_init__(self) -> None:
        check_steps(self.steps, least=0)
        if not 0.0 <= self.step_size < math.inf:
            raise ValueError(
                f"expected step_size >= 0 and finite, got {self.step_size}: give it in pixel units, such as 1/255"
            )
        if self.loss is not None and self.loss not in get_args(AscendedLoss):
            raise ValueError(f"expected ascent.loss among {', '.join(get_args(AscendedLoss))}, got {self.loss!r}")
        if self.trees_per_step is not None and self.trees_per_step < 1:
            raise ValueError(f"expected ascent.trees_per_step >= 1, got {self.trees_per_step}: leave it out for all")
        self.step_rule()
        if self.starts > 1 and not self.random_start:
            raise ValueError(
                f"expected ascent.random_start true with {self.starts} starts, got false: all were the same"
            )

    @property
    def gradients(self) -> int:
        """How many gradients it takes: one a step, and one for every further start."""
        return self.steps + self.starts - 1 if self.steps else 0

    def step_rule(self) -> StepRule:
        """Rule, momentum and starts as one value."""
        return StepRule(name=self.rule, momentum=self.momentum, starts=self.starts)

    def score_loss(self) -> ScoreLoss:
        """The loss `(R,)` of scores `(R, K)` and labels that is raised; the cross-entropy where none is named."""
        return LOSSES[self.loss or "cross_entropy"]

    def perturb(
        self,
        loss: Callable[[Tensor], Tensor],
        images: Tensor,
        threat_model: ThreatModel,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Adversarial images, see `attacks.perturb`; `generator` given, from a random start."""
        return perturb(loss, images, threat_model, self.steps, self.step_size, generator, self.step_rule())
