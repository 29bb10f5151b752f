"""How the terms of a tree become one loss and the numbers to log.

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.objectives.hierarchical import TreeTerms, level_weights
from hrvlm.sending import sent


@dataclass(frozen=True)
class TermWeights:
    """Weights of the terms of the hierarchical loss; 0 switches a term off.

    Attributes:
        levels: ω of the alignment per level, leaf first, for the deepest tree (others take the first of them), with at
            least one above 0; None for the paper's 1 − l/(L+1), which depends on each tree's own L.
        vicinity: λ1.
        order_image: λ2 of the order of image norms.
        order_text: λ2 of the order of text norms.

    Raises:
        ValueError: If a weight is negative or no number, or all level weights are 0.
    """

    levels: tuple[float, ...] | None = None
    vicinity: float = 0.0
    order_image: float = 0.0
    order_text: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vicinity", "order_image", "order_text"):
            check_weight(name, getattr(self, name))
        if self.levels is not None:
            for weight in self.levels:
                check_weight("levels", weight)
            if not any(self.levels):
                raise ValueError(
                    f"expected a level weight above 0, got {self.levels}: the perturbation ascends the alignment"
                )

    def check(self, head: str, num_levels: int | None = None) -> None:
        """Refuse weights that do not fit a head or the number of levels of the deepest tree.

        Raises:
            ValueError: If they do not fit.
        """
        order = max(self.order_image, self.order_text)
        if head == "cosine" and order > 0.0:
            raise ValueError(f"expected weights.order 0 with the cosine head, got {order}: its points have norm 1")
        if None not in (self.levels, num_levels) and len(self.levels or ()) != num_levels:
            raise ValueError(
                f"expected {num_levels} weights.levels, one per level of the deepest tree, got {self.levels}"
            )

    def of_levels(self, num_levels: int, level: int | None, like: Tensor) -> Tensor:
        """Level weights ω `(L+1,)` of a tree, zero for all but one level if a level is given.

        Args:
            num_levels: L+1.
            level: The only level that counts (all weights are zero if the tree lacks it); None for all levels.
            like: Gives dtype and device.
        """
        if self.levels is None:
            weights = level_weights(num_levels, like.device).to(like)
        else:
            weights = sent(torch.tensor(self.levels[:num_levels]), like.device).to(like)
        return weights if level is None else weights * _only(level, num_levels, like)

    def total(self, terms: TreeTerms, level: int | None) -> Tensor:
        """Weighted sum of one tree's terms, or of one level only (an order hinge belongs to its child)."""
        num_levels = len(terms.hita)
        total = (self.of_levels(num_levels, level, terms.hita) * terms.hita).sum()
        if self.vicinity > 0.0 and level in (None, 0):
            total = total + self.vicinity * terms.vicinity
        pairs = ((self.order_image, terms.order_image), (self.order_text, terms.order_text))
        for weight, order in pairs:
            if weight > 0.0:
                chosen = order if level is None else order * _only(level, num_levels - 1, order)
                total = total + weight * chosen.sum()
        return total


def _only(level: int, num_levels: int, like: Tensor) -> Tensor:
    return (torch.arange(num_levels, device=like.device) == level).to(like.dtype)


def check_weight(name: str, value: float) -> None:
    """Refuses a weight below 0.

    Raises:
        ValueError: If it is negative, infinite or no number.
    """
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"expected weights.{name} >= 0 and finite, got {value}: 0 switches it off")


def numbers(terms: TreeTerms, level: int | None) -> dict[str, Tensor]:
    """A tree's terms to log, detached; a part of one level logs that level, the leaf's also what is not per level."""
    found = {f"hita_level_{index}": term for index, term in enumerate(terms.hita) if level in (None, index)}
    if level in (None, 0):
        found |= {"order_image": terms.order_image.sum(), "order_text": terms.order_text.sum()}
        found |= {"vicinity": terms.vicinity, "adversarial_accuracy": terms.accuracy}
    return {name: number.detach() for name, number in found.items()}
