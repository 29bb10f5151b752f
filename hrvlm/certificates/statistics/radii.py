"""Other readings of noise counts: two bounds instead of one, a deployed vote, a radius fixed in advance.

Source of the two-bound form: theorem 1 of "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al.,
ICML 2019 (arXiv 1902.02918). All functions are float64; numbers give a float or int, arrays give an array.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrvlm.certificates.statistics.binomial import OUTWARD, UPWARD, Result, clopper_pearson_lower, clopper_pearson_upper
from hrvlm.certificates.statistics.special import betainc, betaincinv, ndtr, ndtri


def radius_between(lower: ArrayLike, upper: ArrayLike, sigma: float) -> Result:
    """L2 radius within which a class of probability >= lower beats every class of probability <= upper.

    It is `sigma / 2 * (Phi^-1(lower) - Phi^-1(min(upper, 1 - lower)))`, or 0 where lower is not above that. It is
    never below the radius of the lower bound alone, and needs no majority.

    Args:
        lower: bounds in [0, 1) on the probability of the class.
        upper: bounds in (0, 1] on the probability of every other class.
        sigma: standard deviation of the noise, positive.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    low, high = np.broadcast_arrays(np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64))
    if not 0 < sigma < math.inf:
        raise ValueError(f"expected sigma > 0 and finite, got {sigma}")
    if not np.all((low >= 0) & (low < 1) & (high > 0) & (high <= 1)):
        raise ValueError(f"expected lower bounds in [0, 1) and upper ones in (0, 1], got {lower!r} and {upper!r}")
    other = np.minimum(high, 1 - low)
    lead = low > other
    # The probability of the class stays in its own tail where 1 - lower would round.
    own, complement = ndtri(low), np.where(high < 1 - low, ndtri(other), -ndtri(low))
    distance = np.maximum(0.0, own - complement - OUTWARD * (np.abs(own) + np.abs(complement)))
    radius = np.where(lead, sigma / 2 * distance, 0.0)
    return float(radius) if radius.ndim == 0 else radius


def two_bound_radius(
    successes: ArrayLike, runner_up: ArrayLike, trials: ArrayLike, alpha: float, sigma: float
) -> Result:
    """L2 radius from a lower bound on the class and an upper bound on the strongest other class, alpha / 2 each.

    No union over the classes is needed: whichever other class is truly the most probable, its count is at most the
    largest count among the others, so the upper bound of the largest count covers it.

    Args:
        successes: counts of the class, which must have been chosen independently of them.
        runner_up: largest counts among all other labels, invalid answers included.
        trials: numbers of noise samples.
        alpha: error probability in (0, 1) of the whole statement.
        sigma: standard deviation of the noise, positive.

    Raises:
        ValueError: if an argument lies outside its range, or counts exceed the trials.
    """
    if np.any(np.asarray(successes) + np.asarray(runner_up) > np.asarray(trials)):
        raise ValueError(f"expected successes + runner_up <= trials, got {successes!r} + {runner_up!r} of {trials!r}")
    low = clopper_pearson_lower(successes, trials, alpha / 2)
    return radius_between(low, clopper_pearson_upper(runner_up, trials, alpha / 2), sigma)


def operational_threshold(votes: int, error: float) -> float:
    """Least class probability at which a vote of so many fresh samples is right with probability >= 1 - error.

    The smoothed classifier itself cannot be computed; a deployed system takes the label that more than half of
    `votes` samples have. A certificate with this threshold instead of 1/2 holds for that system: at every point closer
    than the radius its answer is the certified class with probability at least 1 - error.

    Args:
        votes: samples of the deployed vote, at least 1.
        error: error probability in (0, 1/2] of one deployed answer.

    Returns:
        The least p with `P(Bin(votes, p) > votes / 2) >= 1 - error`, in [1/2, 1).

    Raises:
        ValueError: if an argument lies outside its range.
    """
    if votes < 1 or not 0 < error <= 0.5:
        raise ValueError(f"expected votes >= 1 and an error in (0, 1/2], got votes={votes}, error={error}")
    majority = votes // 2 + 1
    found = float(betaincinv(majority, votes - majority + 1, 1 - error)) * (1 + UPWARD)
    return min(math.nextafter(1, 0), max(0.5, found))


def least_count(trials: int, alpha: float, probability: float) -> int:
    """Least count that rejects "the probability is at most `probability`" at error alpha; trials + 1 if none does.

    With `probability = Phi(radius / sigma)`, counts of at least this certify the radius, fixed in advance.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    if trials < 1 or not 0 < alpha < 1 or not 0 < probability < 1:
        raise ValueError(
            f"expected trials >= 1 and alpha and probability in (0, 1), got {trials}, {alpha} and {probability}"
        )
    low, high = 0, trials + 1  # P(Bin >= low) > alpha; high rejects, or is out of reach
    while high - low > 1:
        middle = (low + high) // 2
        rejects = betainc(middle, trials - middle + 1, probability) * (1 + UPWARD) <= alpha
        low, high = (low, middle) if rejects else (middle, high)
    return high


def radius_probability(radius: ArrayLike, sigma: float, *, threshold: float = 0.5) -> NDArray[np.float64]:
    """Class probability at the image that certifies the radius: `Phi(radius / sigma + Phi^-1(threshold))`."""
    return np.asarray(ndtr(np.asarray(radius, dtype=np.float64) / sigma + ndtri(threshold)))
