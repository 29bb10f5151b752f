"""Differences of two models on the same images, with intervals that use the pairing.

Of shares (right or wrong per image): Newcombe's square-and-add interval for paired proportions, from Wilson's intervals
and the correlation of the pairs (method 10 of Newcombe, Statistics in Medicine 17:2635-2650, 1998), and McNemar's exact
test (Psychometrika 12:153-157, 1947). Of other numbers, such as certified radii: the percentile bootstrap over images
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3), with a fixed seed.

Intervals and tests are about the images that the data set's pictures stand for, not about the noise of a certificate or
the seed of a training; each holds by itself, not all of a table together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrvlm.certificates.statistics.special import bdtr, ndtri

CONFIDENCE = 0.95
DRAWS = 4000
_PART = 2**22  # numbers of the bootstrap that are in memory at once


@dataclass(frozen=True)
class Difference:
    """How much larger the mean of a model is than that of another one, on images of both.

    Attributes:
        estimate: second mean less the first one.
        low: lower end of the interval; None where none can be told.
        high: its upper end, or None.
        p_value: of McNemar's exact test that neither is better, two-sided; None where the numbers are no shares.
        images: number of pairs.
    """

    estimate: float
    low: float | None
    high: float | None
    p_value: float | None
    images: int


def difference_of_shares(first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE) -> Difference:
    """Share of images that the second model gets right, less that of the first.

    Args:
        first: (N,) whether the first model gets each image right.
        second: (N,) the same of the second model, of the same images.
        confidence: that the interval holds the difference, in (0, 1).

    Raises:
        ValueError: If there are no pairs, or the confidence lies outside its range.
    """
    one, two = _pairs(first, second, confidence)
    right, other = one > 0, two > 0
    table = [int(np.sum(a & b)) for a in (other, ~other) for b in (right, ~right)]
    low, high = square_and_add(table[0], table[1], table[2], table[3], confidence)
    images = len(one)
    return Difference((table[1] - table[2]) / images, low, high, mcnemar(table[1], table[2]), images)


def difference_of_means(
    first: ArrayLike, second: ArrayLike, confidence: float = CONFIDENCE, *, draws: int = DRAWS, seed: int = 0
) -> Difference:
    """Mean of the second model's numbers, less that of the first.

    No interval is told where all pairs differ by the same, since draws of them cannot tell how much others would.

    Args:
        first: (N,) a number per image.
        second: (N,) the same of the second model, of the same images.
        confidence: that the interval holds the difference, in (0, 1).
        draws: how often N images are drawn with replacement.
        seed: of the draws.

    Raises:
        ValueError: If there are no pairs, or the confidence lies outside its range.
    """
    one, two = _pairs(first, second, confidence)
    gains = two - one
    if np.ptp(gains) == 0:
        return Difference(float(gains[0]), None, None, None, len(gains))
    tail = (1 - confidence) / 2
    low, high = np.quantile(_drawn_means(gains, draws, seed), [tail, 1 - tail])
    return Difference(float(gains.mean()), float(low), float(high), None, len(gains))


def _drawn_means(numbers: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    """Means of as many numbers drawn from them with replacement."""
    generator, size = np.random.default_rng(seed), len(numbers)
    step = max(1, _PART // size)
    parts = [min(step, draws - start) for start in range(0, draws, step)]
    return np.concatenate([numbers[generator.integers(size, size=(part, size))].mean(axis=1) for part in parts])


def _pairs(first: ArrayLike, second: ArrayLike, confidence: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape or len(one) == 0:
        raise ValueError(f"expected a number of either model for each image, got {one.shape} and {two.shape}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence in (0, 1), got {confidence}")
    return one, two


def square_and_add(both: int, first: int, second: int, neither: int, confidence: float) -> tuple[float, float]:
    """Newcombe's interval for the difference of two paired proportions, (both + first - both - second) / N.

    Args:
        both: pairs with two successes.
        first: pairs with a success of the first alone.
        second: pairs with a success of the second alone.
        neither: pairs without.
        confidence: in (0, 1).
    """
    total = both + first + second + neither
    p1, p2 = (both + first) / total, (both + second) / total
    (l1, u1), (l2, u2) = wilson(both + first, total, confidence), wilson(both + second, total, confidence)
    phi, difference = _correlation(both, first, second, neither), (first - second) / total
    down, up = p1 - l1, u2 - p2
    low = difference - math.sqrt(max(down**2 - 2 * phi * down * up + up**2, 0.0))
    down, up = p2 - l2, u1 - p1
    high = difference + math.sqrt(max(down**2 - 2 * phi * down * up + up**2, 0.0))
    return max(low, -1.0), min(high, 1.0)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Of the pairs, nearer to 0 by half a pair per pair where it is positive; 0 where one of the two never varies."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product, half = both * neither - first * second, (both + first + second + neither) / 2
    shrunk = max(product - half, 0.0) if product > 0 else float(product)
    return shrunk / math.sqrt(margins) if margins else 0.0


def wilson(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Journal of the American Statistical Association 22:209-212, 1927)."""
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    share = successes / trials
    middle = share + z2 / (2 * trials)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * trials)) / trials)
    return (middle - half) / (1 + z2 / trials), (middle + half) / (1 + z2 / trials)


def mcnemar(first: int, second: int) -> float:
    """McNemar's exact test, two-sided: of the pairs that differ, as many favour either model.

    Args:
        first: pairs that favour the first.
        second: pairs that favour the second.
    """
    return min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5)))
