"""How a perturbation is sought in training, as a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hrvlm.attacks.perturbation import check_steps


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Projected gradient ascent within a threat model (Madry et al., ICLR 2018, arXiv 1706.06083).

    Attributes:
        steps: Steps of the ascent, in [0, 100,000]; 0 trains on clean images.
        step_size: Length >= 0 of a step in pixel units, where images lie in [0, 1].
        random_start: Starts from a random point of the budget if the caller has random numbers, else from the images.

    Raises:
        ValueError: If a number is out of range.
    """

    steps: int = 3
    step_size: float = 1.0 / 255.0
    random_start: bool = True

    def __post_init__(self) -> None:
        check_steps(self.steps, least=0)
        if not 0.0 <= self.step_size < math.inf:
            raise ValueError(
                f"expected step_size >= 0 and finite, got {self.step_size}: give it in pixel units, such as 1/255"
            )
