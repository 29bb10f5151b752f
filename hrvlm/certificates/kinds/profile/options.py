"""What hierarchical profiles are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hrvlm.certificates.sampling.plan import SmoothingPlan


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """The certified hierarchical profile.

    Attributes:
        radii: L2 radii fixed in advance, in pixel units, which then share alpha without correction for levels. Empty
            for all radii at once; that budget is also taken in trees of fewer levels than radii, where it gives more.
    """

    radii: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if any(not 0 <= radius < math.inf for radius in self.radii) or len(set(self.radii)) != len(self.radii):
            raise ValueError(f"expected different radii >= 0 in the profile, got {self.radii}")

    def check(self, plan: SmoothingPlan) -> None:
        """ValueError if the plan's samples make no profile."""
        if plan.procedure == "adaptive":
            raise ValueError("expected another procedure than 'adaptive' with a profile: it stops at one radius")
        if plan.tau < 0.5:
            raise ValueError(f"expected a threshold >= 1/2 with a profile, got {plan.tau}: below, nodes fork")
