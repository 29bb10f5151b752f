"""How the terms of a tree become one loss and the numbers to log.

Source: "Hierarchically Robust Zero-shot Vision-language Models", Dong et al., CVPR 2026 (arXiv 2604.18867).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hrvlm.objectives.hierarchical import TreeTerms, level_weights


def chosen_weights(num_levels: int, level: int | None, like: Tensor) -> Tensor:
    """Level weights ω `(L+1,)` of a tree, zero for all but one level if a level is given.

    Args:
        num_levels: L+1.
        level: The only level that counts (all weights are zero if the tree lacks it); None for all levels.
        like: Gives dtype and device.
    """
    weights = level_weights(num_levels).to(like)
    if level is None:
        return weights
    return weights * (torch.arange(num_levels, device=like.device) == level)


def weigh(terms: TreeTerms, level: int | None, lambda_vicinity: float, lambda_order: float) -> Tensor:
    """Weighted sum of one tree's terms, or of one level only (an order hinge belongs to its child)."""
    weights = chosen_weights(len(terms.hita), level, terms.hita)
    total = (weights * terms.hita).sum()
    if lambda_vicinity > 0.0 and level in (None, 0):
        total = total + lambda_vicinity * terms.vicinity
    if lambda_order > 0.0:
        chosen = (weights[:-1] > 0.0).to(weights.dtype)
        total = total + lambda_order * (chosen * (terms.order_image + terms.order_text)).sum()
    return total


def numbers(terms: TreeTerms, level: int | None) -> dict[str, Tensor]:
    """A tree's terms to log, detached; a part of one level logs that level, the leaf's also what is not per level."""
    found = {f"hita_level_{index}": term for index, term in enumerate(terms.hita) if level in (None, index)}
    if level in (None, 0):
        found |= {"order_image": terms.order_image.sum(), "order_text": terms.order_text.sum()}
        found |= {"vicinity": terms.vicinity, "adversarial_accuracy": terms.accuracy}
    return {name: number.detach() for name, number in found.items()}
