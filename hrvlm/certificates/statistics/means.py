"""Bounds on means of numbers in [0, 1], and how far a mean under Gaussian noise can shift with the image.

Sources: "Certified Adversarial Robustness via Randomized Smoothing", Cohen et al., ICML 2019 (arXiv 1902.02918), for
the shift; "Estimating means of bounded random variables by betting", Waudby-Smith and Ramdas, JRSS B 86, 2024
(arXiv 2010.09686), for the bounds: capital that bets against the mean m, here with fewer than 3/4 of it at stake, is a
martingale under m and exceeds 1 / alpha with probability at most alpha.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrvlm.certificates.statistics.binomial import check_alpha
from hrvlm.certificates.statistics.special import ndtr, ndtri

_STAKE = 0.75
_HALVINGS = 26


def shifted_mean(mean: ArrayLike, shift: float) -> NDArray[np.float64]:
    """Extreme mean in [-1, 1] of a quantity of that mean after the image moved: `2 Phi(Phi^-1((1+s)/2) + shift) - 1`.

    Args:
        mean: means s under Gaussian noise of a quantity that lies in [-1, 1].
        shift: distance over sigma; positive for the largest mean that is possible then, negative for the smallest.
    """
    return np.asarray(2 * ndtr(ndtri((1 + np.asarray(mean, dtype=np.float64)) / 2) + shift) - 1)


def mean_shift_bound(shift: float) -> float:
    """Largest distance that the mean of unit vectors can move when the image moves by `shift` sigma."""
    return float(2 * (2 * ndtr(shift / 2) - 1))


def betting_lower(values: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Lower bounds on means: below the true one with probability at least 1 - alpha, each.

    Args:
        values: `(n, ...)` independent samples in [0, 1] of each quantity.
        alpha: error probability in (0, 1) of each bound.

    Returns:
        Bounds `(...)` in [0, 1).

    Raises:
        ValueError: if there is no sample, one lies outside [0, 1] or alpha does.
    """
    check_alpha(alpha)
    if not len(values) or not np.all((values >= 0) & (values <= 1)):
        raise ValueError("expected samples in [0, 1], got none or some outside")
    stake = _stakes(values, alpha)
    low, high = np.zeros(values.shape[1:]), values.mean(axis=0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        share = np.minimum(stake, _STAKE / np.maximum(middle, 1e-12))
        capital = np.log1p(share * (values - middle)).cumsum(axis=0).max(axis=0)
        rejected = capital >= -np.log(alpha)
        low, high = np.where(rejected, middle, low), np.where(rejected, high, middle)
    return low


def betting_upper(values: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Upper bounds on means; see `betting_lower`."""
    return 1.0 - betting_lower(1.0 - values, alpha)


def _stakes(values: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """What is bet on each sample, `(n, ...)`: known before the sample, best where the variance so far persists."""
    n = len(values)
    number = np.arange(1, n + 1).reshape(-1, *([1] * (values.ndim - 1)))
    mean = (0.5 + values.cumsum(axis=0)) / (number + 1)
    variance = (0.25 + ((values - mean) ** 2).cumsum(axis=0)) / (number + 1)
    before = np.concatenate([np.full_like(variance[:1], 0.25), variance[:-1]])
    return np.sqrt(2 * np.log(1 / alpha) / (n * before))
