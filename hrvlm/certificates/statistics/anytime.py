"""Evidence that may be looked at after any number of samples: error alpha over all looks together.

The evidence against "the probability is at most p0" after T samples with H successes is the mixture of likelihood
ratios of all q > p0 to p0, weighted by a Beta(1/2, 1/2) law cut off at p0. For every true probability up to p0 it is a
non-negative supermartingale that starts at 1, so it ever reaches 1/alpha with probability at most alpha (Ville's
inequality). Fixed-sample bounds looked at again and again have no such guarantee.

Sources: the mixture method of Robbins (Annals of Mathematical Statistics 41, 1970); its use for randomized smoothing,
with two-sided mixtures, in "Treatment of Statistical Estimation Problems in Randomized Smoothing for Adversarial
Robustness", Voráček, NeurIPS 2024 (arXiv 2406.17830). The one-sided mixture keeps its weight on the tested side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrvlm.certificates.statistics.binomial import Result, check_alpha, check_probability, checked_counts, plain
from hrvlm.certificates.statistics.special import betainc, betaincc, betaln

Integers: TypeAlias = NDArray[np.int64]
_PRIOR = 0.5  # both parameters of the Beta law; the Jeffreys prior of a proportion
_ROUNDING = 1e-9  # evidence must exceed its threshold by more than rounding could add
_HALVINGS = 80


def log_evidence_above(successes: ArrayLike, trials: ArrayLike, probability: ArrayLike) -> Result:
    """Log evidence against "the true probability is at most `probability`", after any number of trials.

    Args:
        successes: counts in [0, trials].
        trials: numbers of independent trials so far, at least 1.
        probability: tested values in (0, 1).

    Returns:
        Natural logarithms; -inf where there is none. With probability at least 1 - alpha none of them ever, at any
        number of trials, reaches `log(1 / alpha)` if the true probability is at most the tested one.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    return _log_evidence(successes, trials, probability, betaincc)


def log_evidence_below(successes: ArrayLike, trials: ArrayLike, probability: ArrayLike) -> Result:
    """Log evidence against "the true probability is at least `probability`"; see `log_evidence_above`."""
    return _log_evidence(successes, trials, probability, betainc)


def _log_evidence(
    successes: ArrayLike, trials: ArrayLike, probability: ArrayLike, weight: Callable[..., NDArray[np.float64]]
) -> Result:
    """Log mixture of likelihood ratios; `weight` is the Beta law's mass on the side that the mixture takes."""
    k, n = checked_counts(successes, trials)
    p = np.asarray(probability, dtype=np.float64)
    if not np.all((p > 0) & (p < 1)):
        raise ValueError(f"expected probabilities in (0, 1), got {probability!r}")
    return plain(_mixture(k, n, p, weight))


def _mixture(
    k: Integers, n: Integers, p: NDArray[np.float64], weight: Callable[..., NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The evidence of checked numbers: searches ask for it many times over."""
    with np.errstate(divide="ignore"):
        after = betaln(_PRIOR + k, _PRIOR + n - k) + np.log(weight(_PRIOR + k, _PRIOR + n - k, p))
        before = betaln(_PRIOR, _PRIOR) + np.log(weight(_PRIOR, _PRIOR, p))
    return np.asarray(after - before - k * np.log(p) - (n - k) * np.log1p(-p))


def anytime_lower(successes: ArrayLike, trials: ArrayLike, alpha: float) -> Result:
    """Lower bound on a probability that may be computed after every trial: below the truth at ALL of them at once.

    It is the least p0 whose evidence of `log_evidence_above` is under `log(1 / alpha)` (to 80 halvings, rounded down).
    The evidence falls in p0 wherever it is that large, for alpha up to 0.19 (so everything below is rejected too).

    Args:
        successes: counts in [0, trials].
        trials: numbers of independent trials so far, at least 1.
        alpha: error probability in (0, 0.19], over all numbers of trials together.

    Returns:
        Bounds in [0, 1); wider than `clopper_pearson_lower`, which is valid for one number of trials fixed before.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    k, n = checked_counts(successes, trials)
    if not 0 < alpha <= 0.19:
        raise ValueError(f"expected alpha in (0, 0.19] for a bound that may be looked at repeatedly, got {alpha}")
    low, high = np.zeros(k.shape), np.asarray(k / n, dtype=np.float64)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = (middle > 0) & (middle < 1)
        evidence = _mixture(k, n, np.where(inside, middle, 0.5), betaincc)
        rejected = inside & (evidence >= -np.log(alpha) + _ROUNDING)
        if np.all(middle == np.where(rejected, low, high)):  # nothing lies between, nor will
            break
        low, high = np.where(rejected, middle, low), np.where(rejected, high, middle)
    return plain(low)


def anytime_upper(successes: ArrayLike, trials: ArrayLike, alpha: float) -> Result:
    """Upper bound on a probability that may be computed after every trial; see `anytime_lower`."""
    k, n = checked_counts(successes, trials)
    return plain(1.0 - np.asarray(anytime_lower(n - k, n, alpha)))


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Counts at which "is the probability above p?" is decided.

    Attributes:
        looks: `(L,)` numbers of trials at which counts are looked at, increasing.
        certify: `(L,)` least counts that certify; trials + 1 where none can.
        give_up: `(L,)` largest counts that give up; -1 where none can.
    """

    looks: Integers
    certify: Integers
    give_up: Integers


def decision_boundaries(looks: ArrayLike, probability: float, alpha: float, give_up: float) -> Boundaries:
    """Counts at which evidence that the true probability is above `probability` suffices, or hope is given up.

    Args:
        looks: numbers of trials at which counts are looked at; any choice is sound.
        probability: tested value in (0, 1).
        alpha: probability in (0, 1) of ever certifying if the true probability is at most the tested one.
        give_up: probability in (0, 1) of ever giving up if the true probability is at least the tested one; it costs
            certificates, never soundness.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    times = np.asarray(looks, dtype=np.int64)
    for value, name in ((probability, "probability"), (alpha, "alpha"), (give_up, "give_up")):
        check_probability(value, name)
    check_alpha(alpha)
    if times.ndim != 1 or np.any(np.diff(times) <= 0) or np.any(times < 1):
        raise ValueError(f"expected increasing numbers of trials, each at least 1, got {looks!r}")
    # The evidence for "below" is that for "above" with failures for successes.
    failures = _least_counts(times, 1 - probability, give_up)
    return Boundaries(times, _least_counts(times, probability, alpha), times - failures)


def look_times(cap: int, *, first: int = 8, growth: float = 0.1) -> Integers:
    """Numbers of samples at which counts are looked at: every `first` samples, later every `growth` of those so far.

    Raises:
        ValueError: if the cap or the first look is below 1 or the growth negative.
    """
    if cap < 1 or first < 1 or not growth >= 0:
        raise ValueError(f"expected cap >= 1, first >= 1 and growth >= 0, got {cap}, {first} and {growth}")
    times = [min(first, cap)]
    while times[-1] < cap:
        times.append(min(cap, times[-1] + max(first, int(growth * times[-1]))))
    return np.array(times, dtype=np.int64)


def _least_counts(times: Integers, probability: float, alpha: float) -> Integers:
    """Least counts whose evidence above the probability reaches 1 / alpha; trials + 1 where none does."""
    check_probability(probability, "probability")  # which may be 1 minus a tiny one
    low, high, tested = np.zeros_like(times) - 1, times + 1, np.asarray(probability)
    while np.any(high - low > 1):
        middle = np.where(high - low > 1, (low + high) // 2, np.maximum(low, 0))
        enough = _mixture(middle, times, tested, betaincc) >= -np.log(alpha) + _ROUNDING
        open_ = high - low > 1
        low, high = np.where(open_ & ~enough, middle, low), np.where(open_ & enough, middle, high)
    return high
