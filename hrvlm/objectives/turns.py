"""Which level and which trees each step of an ascent raises the loss of, where they take turns instead of being summed.

A step that raises one level costs what a step on the sum of all costs, and sign steps give the sum's smaller gradients
no less room than the larger ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hrvlm.attacks import Ascent


@dataclass(frozen=True)
class Turn:
    """What one step raises.

    Attributes:
        level: The level; None for all.
        trees: Indices of the trees.
    """

    level: int | None
    trees: tuple[int, ...]


def check_turns(ascent: Ascent, *, alternate: bool) -> None:
    """Refuses an ascent that does not go with turns, where levels or trees take some.

    Raises:
        ValueError: If it compares the losses of steps, or would begin with the same trees in every batch.
    """
    if ascent.rule == "apgd" and (alternate or ascent.trees_per_step is not None):
        raise ValueError(
            "expected ascent.rule sign or momentum where levels or trees take turns, got apgd: it compares the losses "
            "of steps, which must be of one kind"
        )
    if ascent.trees_per_step is not None and not ascent.random_start:
        raise ValueError(
            "expected ascent.random_start true with ascent.trees_per_step, got false: every batch would begin with the "
            "first trees, and others might never have a turn"
        )


def turns(steps: int, levels: Sequence[int], *, alternate: bool, trees_per_step: int | None, start: int) -> list[Turn]:
    """One turn for each step, or gradient.

    Args:
        steps: Number of steps.
        levels: Number of levels of each tree.
        alternate: Whether levels take turns, from the top down; the last step raises the leaves if `start` is 0.
        trees_per_step: How many trees take a turn together; None for all.
        start: Number >= 0 that shifts who begins, so that over many batches all levels and trees come first alike.

    Returns:
        Turns; trees in rising order. Levels are those of the deepest tree of the turn, so that none is empty.
    """
    found, count = [], min(trees_per_step or len(levels), len(levels))
    for step in range(steps):
        first = start + step * count
        trees = tuple(sorted((first + place) % len(levels) for place in range(count)))
        depth = max(levels[tree] for tree in trees)
        # Divided by the number of trees, as which level begins must not follow from which tree does.
        found.append(Turn((start // len(levels) + steps - 1 - step) % depth if alternate else None, trees))
    return found


def drawn_start(generator: torch.Generator | None) -> int:
    """A start of `turns`, the same on all processes that draw from equally seeded generators; 0 without one."""
    if generator is None:
        return 0
    return int(torch.randint(2**31, (), generator=generator, device=generator.device))
