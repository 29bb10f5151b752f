"""How sure a classifier is under noise, over the images: laws of the probability of the correct class.

A law serves the planner. It is asked for its upper tail near 1, where certificates live, and for the distribution of
the count that n samples give, in closed form: both are exact, nothing is simulated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.statistics.special import betainc, betaincc, betaln, gammaln

Floats: TypeAlias = NDArray[np.float64]
_SURE = 20.0
"""By Hoeffding's inequality, more successes than expected by the square root of so many times the trials happen with a
probability below exp(-40), which is nothing beside 1 in float64."""


class ProbabilityLaw(Protocol):
    """Distribution over images of the probability that a noisy copy gets the correct label."""

    def tail(self, shortfall: Floats) -> Floats:
        """Share of the images whose probability is at least `1 - shortfall`; 0 for negative shortfalls."""

    def count_share(self, counts: Floats, trials: int) -> Floats:
        """Share of the images for which so many of the trials succeed, per count `(K,)`."""


@dataclass(frozen=True)
class UniformLaw:
    """All probabilities between `low` and 1 are equally likely.

    Attributes:
        low: in [0, 1).
    """

    low: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.low < 1:
            raise ValueError(f"expected the low end of the uniform law in [0, 1), got {self.low}")

    def tail(self, shortfall: Floats) -> Floats:
        """See `ProbabilityLaw.tail`."""
        return np.clip(shortfall / (1 - self.low), 0.0, 1.0)

    def count_share(self, counts: Floats, trials: int) -> Floats:
        """See `ProbabilityLaw.count_share`."""
        above = np.ones_like(counts)
        near = counts + 1 < (trials + 1) * self.low + math.sqrt(_SURE * (trials + 1))
        above[near] = betaincc(counts[near] + 1, trials - counts[near] + 1, self.low)
        return above / ((1 - self.low) * (trials + 1))


@dataclass(frozen=True)
class BetaLaw:
    """Probabilities follow a Beta(a, b) law; small b puts much of it near 1.

    Attributes:
        a: positive.
        b: positive.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        if not (0 < self.a < math.inf and 0 < self.b < math.inf):
            raise ValueError(f"expected positive parameters of the Beta law, got {self.a} and {self.b}")

    def tail(self, shortfall: Floats) -> Floats:
        """See `ProbabilityLaw.tail`."""
        return np.asarray(betainc(self.b, self.a, np.clip(shortfall, 0.0, 1.0)))

    def count_share(self, counts: Floats, trials: int) -> Floats:
        """See `ProbabilityLaw.count_share`."""
        ways = gammaln(trials + 1) - gammaln(counts + 1) - gammaln(trials - counts + 1)
        return np.asarray(np.exp(ways + betaln(self.a + counts, self.b + trials - counts) - betaln(self.a, self.b)))


@dataclass(frozen=True)
class AtomLaw:
    """Every noisy copy gets the correct label: what saturated images look like.

    For them a radius grows with n without end, like the square root of 2 ln n.
    """

    def tail(self, shortfall: Floats) -> Floats:
        """See `ProbabilityLaw.tail`."""
        return np.where(shortfall >= 0, 1.0, 0.0)

    def count_share(self, counts: Floats, trials: int) -> Floats:
        """See `ProbabilityLaw.count_share`."""
        return np.where(counts == trials, 1.0, 0.0)


@dataclass(frozen=True)
class MixtureLaw:
    """Each part describes a share of the images; shares that do not add up to 1 leave images never certified.

    Attributes:
        parts: (share, law) pairs, shares at least 0 and at most 1 together.
    """

    parts: Sequence[tuple[float, ProbabilityLaw]] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        shares = [share for share, _ in self.parts]
        if not shares or min(shares) < 0 or math.fsum(shares) > 1 + 1e-9:
            raise ValueError(f"expected shares of at least 0 and at most 1 together, got {shares}")

    def tail(self, shortfall: Floats) -> Floats:
        """See `ProbabilityLaw.tail`."""
        return np.asarray(sum(share * law.tail(shortfall) for share, law in self.parts))

    def count_share(self, counts: Floats, trials: int) -> Floats:
        """See `ProbabilityLaw.count_share`."""
        return np.asarray(sum(share * law.count_share(counts, trials) for share, law in self.parts))


def pilot_law(successes: Sequence[int], trials: Sequence[int], *, num_images: int | None = None) -> MixtureLaw:
    """Law of a pilot run: each image's probability follows its posterior Beta(k + 1/2, n - k + 1/2).

    Args:
        successes: counts of the correct class, per image.
        trials: noise samples, per image, at least 1.
        num_images: all images of the pilot, those with another predicted class included; the given ones if None.

    Raises:
        ValueError: if there are no counts or they do not fit their trials.
    """
    pairs = list(zip(successes, trials, strict=True))
    total = len(pairs) if num_images is None else num_images
    if not pairs or total < len(pairs) or any(not 0 <= k <= n or n < 1 for k, n in pairs):
        raise ValueError(
            f"expected counts of at least one image within their trials, got {pairs[:3]} of {total} images"
        )
    grouped = {pair: pairs.count(pair) for pair in dict.fromkeys(pairs)}
    return MixtureLaw(tuple((many / total, BetaLaw(k + 0.5, n - k + 0.5)) for (k, n), many in grouped.items()))
