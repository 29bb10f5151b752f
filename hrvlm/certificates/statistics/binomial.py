"""Binomial confidence bounds and the radius they give to a smoothed classifier.

Source: "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019 (arXiv 1902.02918), in the
binary form: if the class has probability at least p > 1/2 under Gaussian noise of standard deviation sigma, it stays
the majority within the L2 radius ``sigma * Phi^-1(p)``.

All functions are vectorised over counts; numbers give a float, arrays give a float64 array. Bounds and radii are
rounded against the claim, by more than the functions of SciPy err up to a million trials (lower bounds by 1e-15, upper
bounds by 5e-11, relative; tests compare with 40 digits).
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrvlm.certificates.statistics.special import betainccinv, betaincinv, log_ndtr, ndtri

Result: TypeAlias = float | NDArray[np.float64]

OUTWARD, UPWARD = 2.0**-44, 2.0**-32
"""Relative rounding against the claim, of lower bounds and quantiles, and of upper bounds."""


def clopper_pearson_lower(successes: ArrayLike, trials: ArrayLike, alpha: float) -> Result:
    """One-sided Clopper-Pearson lower bound: at most the true probability with probability at least 1 - alpha.

    Args:
        successes: counts in [0, trials].
        trials: numbers of independent trials, at least 1.
        alpha: error probability in (0, 1).

    Returns:
        Bounds in [0, 1); 0 for no success.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    k, n = checked_counts(successes, trials)
    check_alpha(alpha)
    bound = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, alpha), 0.0)
    return plain(np.where(k == n, alpha ** (1.0 / n), bound) * (1 - OUTWARD))


def clopper_pearson_upper(successes: ArrayLike, trials: ArrayLike, alpha: float) -> Result:
    """One-sided Clopper-Pearson upper bound: at least the true probability with probability at least 1 - alpha.

    Args:
        successes: counts in [0, trials].
        trials: numbers of independent trials, at least 1.
        alpha: error probability in (0, 1).

    Returns:
        Bounds in (0, 1]; 1 if every trial succeeded.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    k, n = checked_counts(successes, trials)
    check_alpha(alpha)
    bound = np.where(k < n, betainccinv(k + 1, np.maximum(n - k, 1), alpha), 1.0)
    return plain(np.minimum(1.0, np.where(k == 0, -np.expm1(math.log(alpha) / n), bound) * (1 + UPWARD)))


def clopper_pearson_interval(successes: ArrayLike, trials: ArrayLike, alpha: float) -> tuple[Result, Result]:
    """Both bounds, each at alpha / 2: the exact interval of a probability at confidence 1 - alpha.

    Args:
        successes: as of `clopper_pearson_lower`.
        trials: as there.
        alpha: error probability of the interval, in (0, 1).

    Raises:
        ValueError: see `clopper_pearson_lower`.
    """
    return clopper_pearson_lower(successes, trials, alpha / 2), clopper_pearson_upper(successes, trials, alpha / 2)


def smoothing_radius(
    successes: ArrayLike, trials: ArrayLike, alpha: float, sigma: float, *, threshold: float = 0.5
) -> Result:
    """Certified L2 radius `sigma * (Phi^-1(lower bound) - Phi^-1(threshold))`; 0 where the bound is not above it.

    The statement that the class keeps a probability above the threshold under the noise at every point closer than the
    radius is false with probability at most alpha over the noise; at the threshold 1/2 the class stays the majority of
    the SMOOTHED classifier.

    Args:
        successes: counts of the class, which must have been chosen independently of them.
        trials: numbers of noise samples.
        alpha: error probability in (0, 1).
        sigma: standard deviation of the noise, positive; the radius is in its units.
        threshold: probability in (0, 1) that the class must keep; other than 1/2 for an asymmetric filter, or for a
            deployed vote of finitely many samples (see `operational_threshold`).

    Raises:
        ValueError: if an argument lies outside its range.
    """
    check_positive(sigma, "sigma")
    radius = _radius(np.asarray(clopper_pearson_lower(successes, trials, alpha)), sigma, threshold)
    ceiling = np.asarray(radius_ceiling(trials, alpha, sigma, threshold=threshold))
    assert np.all(radius <= ceiling * (1 + 1e-12)), "radius above its ceiling"
    return plain(radius)


def threshold_radius(lower: ArrayLike, sigma: float, *, threshold: float = 0.5) -> Result:
    """L2 radius of a lower bound on the class probability, however the bound was found; see `smoothing_radius`.

    Raises:
        ValueError: if a bound lies outside [0, 1), or another argument outside its range.
    """
    check_positive(sigma, "sigma")
    bound = np.asarray(lower, dtype=np.float64)
    if not np.all((bound >= 0) & (bound < 1)):
        raise ValueError(f"expected lower bounds in [0, 1), got {lower!r}")
    return plain(_radius(bound, sigma, threshold))


def radius_ceiling(trials: ArrayLike, alpha: float, sigma: float, *, threshold: float = 0.5) -> Result:
    """Largest radius that `trials` samples can give, `sigma * (Phi^-1(alpha^(1/trials)) - Phi^-1(threshold))`, or 0.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    check_positive(sigma, "sigma")
    return plain(_radius(np.asarray(clopper_pearson_lower(trials, trials, alpha)), sigma, threshold))


def minimal_samples(radius: float, alpha: float, sigma: float, *, threshold: float = 0.5) -> int:
    """Least number of samples with which `radius` can be certified at all.

    It is `ln alpha / ln Phi(radius / sigma + Phi^-1(threshold))`.

    Args:
        radius: L2 radius, at least 0; for 0 the least number that can certify anything.
        alpha: error probability in (0, 1) of the one statement.
        sigma: standard deviation of the noise, positive.
        threshold: probability in (0, 1) that the class must keep.

    Raises:
        ValueError: if an argument lies outside its range, or no number of samples reaches the radius in float64.
    """
    check_alpha(alpha)
    check_positive(sigma, "sigma")
    check_probability(threshold, "threshold")
    if not 0 <= radius < math.inf:
        raise ValueError(f"expected radius >= 0 and finite, got {radius}")
    log_share = float(log_ndtr(radius / sigma + ndtri(threshold)))
    needed = math.log(alpha) / log_share if log_share < 0 else math.inf
    if needed > 2**53:
        raise ValueError(f"expected a radius that samples can reach, got {radius / sigma:g} sigma: use a larger sigma")
    n = max(1, math.floor(needed) - 1)
    while n * log_share > math.log(alpha) or (radius == 0 and n * log_share == math.log(alpha)):
        n += 1
    return n


def _radius(lower: NDArray[np.float64], sigma: float, threshold: float) -> NDArray[np.float64]:
    check_probability(threshold, "threshold")
    high, low = ndtri(lower), ndtri(threshold)
    # Errors are relative to the two terms, which may nearly cancel.
    distance = high - low - OUTWARD * (np.abs(high) + np.abs(low))
    return np.where(lower > threshold, np.maximum(0.0, sigma * distance), 0.0)


def checked_counts(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts and trials, broadcast and checked."""
    k, n = np.broadcast_arrays(np.asarray(successes), np.asarray(trials))
    for name, value in (("successes", k), ("trials", n)):
        if not np.issubdtype(value.dtype, np.integer):
            raise ValueError(f"expected {name} as integers, got dtype {value.dtype}")
    if np.any(n < 1) or np.any(k < 0) or np.any(k > n):
        raise ValueError(f"expected 0 <= successes <= trials and trials >= 1, got successes {k} of {n}")
    return k.astype(np.int64), n.astype(np.int64)


def check_alpha(alpha: float) -> None:
    """ValueError unless alpha lies in (0, 1)."""
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha in (0, 1), got {alpha}")


def check_probability(value: float, name: str) -> None:
    """ValueError unless the number lies in (0, 1)."""
    if not 0 < value < 1:
        raise ValueError(f"expected {name} in (0, 1), got {value}")


def check_positive(value: float, name: str) -> None:
    """ValueError unless the number is positive and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"expected {name} > 0 and finite, got {value}")


def plain(values: NDArray[np.float64]) -> Result:
    """A float for a single number."""
    return float(values) if values.ndim == 0 else values
