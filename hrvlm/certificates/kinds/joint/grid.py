"""The steps that extents of semantic moves are counted on; apart from embeddings, for rows alone need none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Move: TypeAlias = Literal["turn", "target"]
LONGEST: dict[str, float] = {"turn": math.pi, "target": 1.0}
UNITS: dict[str, str] = {"turn": "rad", "target": "of its way to the target"}
MOST_STEPS = 2**20
"""Of the range of extents: every joint row, and every check of one, makes a list of them."""


def check_move(move: str) -> None:
    """ValueError unless the move is known."""
    if move not in get_args(Move):
        raise ValueError(f"expected move as one of {list(get_args(Move))}, got {move!r}")


class ExtentGrid:
    """Steps that extents are counted on, so that counts need no more memory for more samples.

    An extent counts for the step below it, so nothing is claimed that was not found.

    Args:
        move: "turn" or "target".
        steps: the range is divided into so many, at least 1 and at most 2^20.
    """

    def __init__(self, move: str, steps: int) -> None:
        check_move(move)
        if not 1 <= steps <= MOST_STEPS:
            raise ValueError(f"expected steps >= 1 and at most {MOST_STEPS:,}, got {steps}")
        self.edges: NDArray[np.float64] = np.arange(steps + 1, dtype=np.float64) * (LONGEST[move] / steps)
        self.edges[-1] = LONGEST[move]

    def count(self, extents: Tensor) -> NDArray[np.int64]:
        """`(steps + 1,)`: how many extents lie at each step or less than one above it; negative ones count nowhere."""
        place = np.searchsorted(self.edges, extents.detach().cpu().double().numpy(), side="right")
        return np.bincount(place, minlength=len(self.edges) + 1)[1:]

    def step_above(self, extent: float) -> int:
        """The least step at or above an extent.

        Raises:
            ValueError: if the extent lies outside the range.
        """
        if not 0 <= extent <= self.edges[-1]:
            raise ValueError(f"expected an extent from 0 to {self.edges[-1]:g}, got {extent}")
        return int(np.searchsorted(self.edges, extent, side="left"))
