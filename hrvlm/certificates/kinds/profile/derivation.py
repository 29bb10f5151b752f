"""From counts along a chain to the claims of a profile: the same derivation makes and verifies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hrvlm.certificates.kinds.profile.claim import BUDGETS, Budget, deepest_certified, profile_radii
from hrvlm.certificates.kinds.profile.record import CHAINS, FREE_CHAIN, SAME_CHAIN


@dataclass(frozen=True)
class Derived:
    """What the counts along a chain give; empty lists where the budget has no such thing."""

    lower: list[float]
    radii: list[float]
    deepest: list[int]

    @property
    def certifies(self) -> bool:
        """Whether anything below the root is certified."""
        return max([*self.radii, 0.0]) > 0 or max([*self.deepest, -1]) >= 0


def derive_profile(
    counts: Sequence[int],
    n: int,
    *,
    alpha: float,
    sigma: float,
    budget: Budget,
    split: str,
    asked: Sequence[float],
    threshold: float,
) -> Derived:
    """The claims of one profile at error alpha, from samples below the node of each level, leaves first.

    Raises:
        ValueError: if a number lies outside its range, or budget, split and radii do not fit each other.
    """
    fixed = budget == "fixed radii"
    if budget not in BUDGETS or split not in CHAINS or fixed != bool(asked) or fixed != (split == FREE_CHAIN):
        raise ValueError(f"expected budget, split and radii that fit, got {budget!r}, {split!r} and {list(asked)}")
    if n == 0:
        nothing = [0.0] * len(counts)
        return Derived([], [], [-1] * len(asked)) if fixed else Derived(nothing, nothing, [])
    along = np.asarray(counts)
    if fixed:
        return Derived([], [], deepest_certified(along, n, alpha, asked, sigma, threshold=threshold).tolist())
    same = split == SAME_CHAIN
    lower, radii = profile_radii(along, n, alpha, sigma, same_samples=same, threshold=threshold)
    return Derived(lower.tolist(), radii.tolist(), [])
