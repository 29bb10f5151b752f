"""Binomial confidence bounds and the radius they give to a smoothed classifier.

Source: "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019 (arXiv 1902.02918), in the
binary form: if the class has probability at least p > 1/2 under Gaussian noise of standard deviation sigma, it stays
the majority within the L2 radius ``sigma * Phi^-1(p)``.

All functions are vectorised over counts; numbers give a float, arrays give a float64 array.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtri
from scipy.stats import beta

Result: TypeAlias = float | NDArray[np.float64]


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
    k, n = _counts(successes, trials)
    _check_alpha(alpha)
    bound = np.where(k > 0, beta.ppf(alpha, np.maximum(k, 1), n - k + 1), 0.0)
    return _plain(np.where(k == n, alpha ** (1.0 / n), bound))


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
    k, n = _counts(successes, trials)
    _check_alpha(alpha)
    bound = np.where(k < n, beta.isf(alpha, k + 1, np.maximum(n - k, 1)), 1.0)
    return _plain(np.where(k == 0, -np.expm1(math.log(alpha) / n), bound))


def smoothing_radius(successes: ArrayLike, trials: ArrayLike, alpha: float, sigma: float) -> Result:
    """Certified L2 radius `sigma * Phi^-1(lower bound)`, or 0 where the bound is not above 1/2 (abstain).

    The statement that the class stays the majority of the SMOOTHED classifier at every point closer than the radius is
    false with probability at most alpha over the noise.

    Args:
        successes: counts of the class, which must have been chosen independently of them.
        trials: numbers of noise samples.
        alpha: error probability in (0, 1).
        sigma: standard deviation of the noise, positive; the radius is in its units.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    _check_positive(sigma, "sigma")
    lower = np.asarray(clopper_pearson_lower(successes, trials, alpha))
    radius = np.where(lower > 0.5, sigma * ndtri(lower), 0.0)
    assert np.all(radius <= np.asarray(radius_ceiling(trials, alpha, sigma)) * (1 + 1e-12)), "radius above its ceiling"
    return _plain(radius)


def radius_ceiling(trials: ArrayLike, alpha: float, sigma: float) -> Result:
    """Largest radius that `trials` samples can give, `sigma * Phi^-1(alpha^(1/trials))`; 0 if they always abstain.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    _check_positive(sigma, "sigma")
    return _plain(np.maximum(0.0, sigma * ndtri(np.asarray(clopper_pearson_lower(trials, trials, alpha)))))


def minimal_samples(radius: float, alpha: float, sigma: float) -> int:
    """Least number of samples with which `radius` can be certified at all, `ln alpha / ln Phi(radius / sigma)`.

    Args:
        radius: L2 radius, at least 0; for 0 the least number that can certify anything.
        alpha: error probability in (0, 1) of the one statement.
        sigma: standard deviation of the noise, positive.

    Raises:
        ValueError: if an argument lies outside its range, or no number of samples reaches the radius in float64.
    """
    _check_alpha(alpha)
    _check_positive(sigma, "sigma")
    if not 0 <= radius < math.inf:
        raise ValueError(f"expected radius >= 0 and finite, got {radius}")
    log_share = float(log_ndtr(radius / sigma))
    needed = math.log(alpha) / log_share if log_share < 0 else math.inf
    if needed > 2**53:
        raise ValueError(f"expected a radius that samples can reach, got {radius / sigma:g} sigma: use a larger sigma")
    n = max(1, math.floor(needed) - 1)
    while n * log_share > math.log(alpha) or (radius == 0 and n * log_share == math.log(alpha)):
        n += 1
    return n


def _counts(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts and trials, broadcast and checked."""
    k, n = np.broadcast_arrays(np.asarray(successes), np.asarray(trials))
    for name, value in (("successes", k), ("trials", n)):
        if not np.issubdtype(value.dtype, np.integer):
            raise ValueError(f"expected {name} as integers, got dtype {value.dtype}")
    if np.any(n < 1) or np.any(k < 0) or np.any(k > n):
        raise ValueError(f"expected 0 <= successes <= trials and trials >= 1, got successes {k} of {n}")
    return k.astype(np.int64), n.astype(np.int64)


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"expected alpha in (0, 1), got {alpha}")


def _check_positive(value: float, name: str) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"expected {name} > 0 and finite, got {value}")


def _plain(values: NDArray[np.float64]) -> Result:
    """A float for a single number."""
    return float(values) if values.ndim == 0 else values
