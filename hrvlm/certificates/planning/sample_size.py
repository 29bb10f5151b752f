"""How many noise samples a certificate run needs: mean radius and certified accuracy as functions of n.

Two computations agree (tests): the *law*, a normal approximation good from n = 250 on that holds for every law of the
class probability and makes the search for n cheap; and the *exact sum* over the distribution of counts with
Clopper-Pearson bounds. Write p = Phi(t). A class of probability p gets a bound above q = Phi(s) about when
p >= q + kappa * sqrt(q (1 - q)), kappa = z_alpha / sqrt(n); hence

    certified accuracy at r:  S(Phi(s) + kappa * sqrt(Phi(s) Phi(-s))),  s = r / sigma + Phi^-1(threshold)
    mean radius:              sigma * integral of the same over s from Phi^-1(threshold) on

with S the share of images whose probability is at least so much. The reference is a large but finite n: images whose
every sample is correct gain radius without end. That fewer samples cost little was observed in "Accelerating Randomized
Smoothing" (arXiv 2404.17371), with a law for uniform probabilities; this one is derived from Wilson's interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TypeAlias

import numpy as np

from hrvlm.certificates.planning.laws import Floats, ProbabilityLaw, UniformLaw
from hrvlm.certificates.statistics.binomial import (
    check_alpha,
    check_positive,
    check_probability,
    minimal_samples,
    radius_ceiling,
    smoothing_radius,
)
from hrvlm.certificates.statistics.radii import least_count, radius_probability
from hrvlm.certificates.statistics.special import ndtr, ndtri

MAX_SAMPLES = 10_000_000  # exact sums hold a number for every count
LAW_FROM = 250  # below, the normal approximation is off by more than 5 percent
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)
_FARTHEST = 38.0  # Phi(-38) is the last that float64 can hold
_Objective: TypeAlias = Callable[[int], float]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a plan is for.

    Attributes:
        law: of the probability of the correct class over the images.
        alpha: error probability of one statement, in (0, 1).
        sigma: standard deviation of the noise, positive; radii are in its units.
        threshold: probability that the class must keep, in (0, 1).
    """

    law: ProbabilityLaw = field(default_factory=UniformLaw)
    alpha: float = 0.001
    sigma: float = 1.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_positive(self.sigma, "sigma")
        check_probability(self.threshold, "threshold")


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """Answer of `plan_samples`.

    Attributes:
        n: least number of samples that keeps the loss, confirmed by the exact sum.
        n_law: the number that the law alone suggests; None where it is too small for the law.
        n_reference: samples that the loss is measured against.
        value: exact mean radius, or certified accuracy, at n.
        value_law: the same by the law.
        reference: exact value at `n_reference`.
        loss: the loss at n: relative for a mean radius, absolute for a certified accuracy.
        ceiling: largest radius that n samples can give.
    """

    n: int
    n_law: int | None
    n_reference: int
    value: float
    value_law: float
    reference: float
    loss: float
    ceiling: float


def certified_accuracy_law(question: Question, n: float, radius: float) -> float:
    """Share of images certified at a radius by n samples (math.inf for no end), by the law."""
    return float(_share(question, n, np.array([radius / question.sigma + ndtri(question.threshold)]))[0])


def mean_radius_law(question: Question, n: float) -> float:
    """Mean certified radius over all images by n samples (math.inf for no end), by the law; the rest count 0."""
    low = float(ndtri(question.threshold))
    kappa = _kappa(question, n)
    high = min(_FARTHEST, float(-ndtri(kappa**2 / (1 + kappa**2)))) if kappa > 0 else _FARTHEST
    if high <= low:
        return 0.0
    pieces = np.linspace(low, high, 9)
    middle, half = (pieces[1:] + pieces[:-1])[:, None] / 2, np.diff(pieces)[:, None] / 2
    shares = _share(question, n, (middle + half * _NODES).ravel()).reshape(len(half), -1)
    return question.sigma * float((half * shares * _WEIGHTS).sum())


def certified_accuracy_exact(question: Question, n: int, radius: float) -> float:
    """Share of images certified at a radius by n samples: the sum over the distribution of counts."""
    return float(_count_shares(question, n, _needed_count(question, n, radius)).sum())


def mean_radius_exact(question: Question, n: int) -> float:
    """Mean certified radius over all images by n samples: the sum over the distribution of counts."""
    first = least_count(n, question.alpha, question.threshold)
    radii = _radii(n, first, question.alpha, question.sigma, question.threshold)
    return float(_count_shares(question, n, first) @ radii)


def plan_samples(
    question: Question, loss: float = 0.1, *, radius: float | None = None, n_reference: int = 100_000
) -> SamplePlan:
    """Least number of samples that loses at most so much against `n_reference` samples.

    Found by bisection on the law, then confirmed and, where the law is too hopeful, raised by the exact sum; where the
    answer is too small for the law, by the exact sum alone.

    Args:
        question: law of the class probability, alpha, sigma, threshold.
        loss: in (0, 1): of the mean radius, relative; or, with `radius`, of the certified accuracy there, absolute.
        radius: L2 radius at which certified accuracy counts, at least 0; None for the mean radius.
        n_reference: samples that the loss is measured against, at least 1.

    Raises:
        ValueError: if an argument lies outside its range, or even `n_reference` samples certify nothing.
    """
    check_probability(loss, "loss")
    least = minimal_samples(radius or 0.0, question.alpha, question.sigma, threshold=question.threshold)
    check_samples(n_reference)
    if n_reference < least:
        raise ValueError(f"expected n_reference >= {least} to certify anything, got {n_reference}")
    law, exact = _objectives(question, radius)
    reference = exact(n_reference)
    if not reference > 0:
        raise ValueError(f"expected a law of which {n_reference} samples certify something, got a mean of {reference}")
    goal = _goal(reference, loss, relative=radius is None)
    by_law = _least(law, _goal(law(n_reference), loss, relative=radius is None), least, n_reference)
    n = _raised(exact, goal, by_law, n_reference) if by_law >= LAW_FROM else _least(exact, goal, least, n_reference)
    value = exact(n)
    return SamplePlan(
        n=n,
        n_law=by_law if by_law >= LAW_FROM else None,
        n_reference=n_reference,
        value=value,
        value_law=law(n),
        reference=reference,
        loss=1 - value / reference if radius is None else reference - value,
        ceiling=float(radius_ceiling(n, question.alpha, question.sigma, threshold=question.threshold)),
    )


def check_samples(n: int) -> None:
    """Refuses numbers of samples that exact sums cannot be taken over.

    Raises:
        ValueError: If there are none, or too many.
    """
    if not 1 <= n <= MAX_SAMPLES:
        raise ValueError(f"expected a number of samples in [1, {MAX_SAMPLES:,}], got {n}")


def forecast(question: Question, samples: Sequence[int], radii: Sequence[float]) -> list[dict[str, object]]:
    """What each number of samples gives: mean radius by law and exact sum, certified accuracy at radii, ceiling.

    Raises:
        ValueError: If a number of samples is out of range.
    """
    for n in samples:
        check_samples(n)
    return [_forecast_line(question, n, radii) for n in samples]


def _forecast_line(question: Question, n: int, radii: Sequence[float]) -> dict[str, object]:
    """All sums of a number of samples are over the same shares of images."""
    first = least_count(n, question.alpha, question.threshold)
    shares = _count_shares(question, n, first)
    return {
        "n": n,
        "mean_radius": float(shares @ _radii(n, first, question.alpha, question.sigma, question.threshold)),
        "mean_radius_law": mean_radius_law(question, n),
        "certified_accuracy": {str(r): float(shares[_needed_count(question, n, r) - first :].sum()) for r in radii},
        "ceiling": float(radius_ceiling(n, question.alpha, question.sigma, threshold=question.threshold)),
    }


def _goal(reference: float, loss: float, *, relative: bool) -> float:
    return reference * (1 - loss) if relative else reference - loss


def _objectives(question: Question, radius: float | None) -> tuple[_Objective, _Objective]:
    """What is planned for as a function of n, by the law and exactly."""
    if radius is None:
        return partial(mean_radius_law, question), partial(mean_radius_exact, question)
    law = partial(certified_accuracy_law, question, radius=radius)
    exact = partial(certified_accuracy_exact, question, radius=radius)
    return law, exact


def _least(objective: _Objective, goal: float, low: int, high: int) -> int:
    """Least n in [low, high] that reaches the goal, by bisection."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if objective(middle) >= goal else (middle + 1, high)
    return high


def _raised(exact: _Objective, goal: float, n: int, largest: int) -> int:
    """Least n from `n` on, in steps of one percent, whose exact value reaches the goal."""
    while n < largest and exact(n) < goal:
        n = min(largest, n + max(1, n // 100))
    return n


def _kappa(question: Question, n: float) -> float:
    return max(0.0, float(-ndtri(question.alpha))) / math.sqrt(n)


def _share(question: Question, n: float, s: Floats) -> Floats:
    """Share of images whose probability is at least Phi(s) + kappa sqrt(Phi(s) Phi(-s))."""
    return question.law.tail(ndtr(-s) - _kappa(question, n) * np.sqrt(ndtr(s) * ndtr(-s)))


def _needed_count(question: Question, n: int, radius: float) -> int:
    """Least count that certifies a radius; n + 1 where none does."""
    needed = max(question.threshold, float(radius_probability(radius, question.sigma, threshold=question.threshold)))
    return n + 1 if needed == 1 else least_count(n, question.alpha, needed)  # 1 as floats have it


def _count_shares(question: Question, n: int, first: int) -> Floats:
    """Shares of the images with counts from `first` to n."""
    return question.law.count_share(np.arange(first, n + 1, dtype=np.float64), n)


@lru_cache(maxsize=64)
def _radii(n: int, first: int, alpha: float, sigma: float, threshold: float) -> Floats:
    """Radii of the counts from `first` to n."""
    counts = np.arange(first, n + 1)
    return np.asarray(smoothing_radius(counts, n, alpha, sigma, threshold=threshold)).reshape(len(counts))
