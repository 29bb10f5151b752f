"""Distribution-free control of a risk: the smallest threshold at which a claim about images is seldom violated.

A claim with a threshold is tried on n images: a loss of 1 where it is violated, of 0 where it holds, which never grows
with the threshold. What is chosen on these images holds of others that are exchangeable with them, whatever the
distribution; nothing is said of one image by itself, or of images from elsewhere.

- Marginal: "Conformal Risk Control", Angelopoulos et al., arXiv 2208.02814: with `(sum of losses + 1) / (n + 1) <=
  epsilon` the probability that the next image violates the claim, over calibration images and it, is at most epsilon.
- With confidence: "Distribution-Free, Risk-Controlling Prediction Sets", Bates et al., arXiv 2101.02703, and "Learn
  then Test", Angelopoulos et al., arXiv 2110.01052: thresholds are tested from the largest downwards, in an order fixed
  in advance, each by its Clopper-Pearson upper bound at the whole error probability, up to the first that fails.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrvlm.certificates.statistics.binomial import check_probability, checked_counts, clopper_pearson_upper


def calibrate_risk(losses: ArrayLike, *, epsilon: float, confidence: float | None = None) -> int | None:
    """The smallest threshold whose violation rate over images is at most epsilon.

    Args:
        losses: `(n, G)` of 0 and 1: whether the claim of each of n images is violated at each of G growing thresholds,
            which were fixed without looking at these images. Not growing along a row.
        epsilon: violation rate that is allowed, in (0, 1).
        confidence: None for the marginal form: the next image violates its claim with probability at most epsilon, over
            it and the n together. Else in (0, 1): with at least this probability over the n images the violation rate
            of further ones is at most epsilon.

    Returns:
        Position of the threshold, 0 for the smallest; None where none is valid, as with too few images.

    Raises:
        ValueError: if a loss is neither 0 nor 1 or grows with the threshold, or an argument lies outside its range.
    """
    check_probability(epsilon, "epsilon")
    if confidence is not None:
        check_probability(confidence, "confidence")
    return smallest_valid(*violations(losses), epsilon=epsilon, confidence=confidence)


def violations(losses: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """How many of n images violate their claim at each of G thresholds, `(G,)`, and n; see `calibrate_risk`."""
    found = np.asarray(losses)
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(f"expected losses of shape (n, G), n and G at least 1, got {found.shape}")
    if not np.isin(found, (0, 1)).all():
        wrong = found[~np.isin(found, (0, 1))][0]
        raise ValueError(f"expected losses of 0 and 1, got {wrong}: 1 where the claim of an image is violated")
    found = found.astype(np.int64)
    grows = np.argwhere(np.diff(found, axis=1) > 0)
    if len(grows):
        row, column = grows[0].tolist()
        raise ValueError(
            f"expected losses that do not grow along the thresholds, got 0 before 1 in row {row} at threshold "
            f"{column + 1}: order thresholds from the largest claim to the smallest"
        )
    return found.sum(axis=0), len(found)


def smallest_valid(counts: ArrayLike, n: int, *, epsilon: float, confidence: float | None = None) -> int | None:
    """The same as `calibrate_risk` from the number of violations `(G,)` among n images, which do not grow."""
    found = np.asarray(counts, dtype=np.int64)
    if confidence is None:
        valid = found + 1 <= epsilon * (n + 1)
    else:
        distinct, place = np.unique(found, return_inverse=True)  # fewer than thresholds
        valid = (np.asarray(clopper_pearson_upper(distinct, n, 1 - confidence)) <= epsilon)[place]
    failing = np.flatnonzero(~valid)
    lowest = int(failing[-1]) + 1 if len(failing) else 0  # downwards from the largest, up to the first that fails
    return lowest if lowest < len(found) else None


def fewest_images(epsilon: float, confidence: float | None = None) -> int:
    """The smallest number of images on which a threshold can be valid: where none of them violates its claim.

    Args:
        epsilon: as in `calibrate_risk`.
        confidence: likewise.
    """
    least = 1 / epsilon - 1 if confidence is None else math.log1p(-confidence) / math.log1p(-epsilon)
    n = max(1, math.floor(least) - 1)
    while smallest_valid([0], n, epsilon=epsilon, confidence=confidence) is None:  # rounding has no say
        n += 1
    return n


def excess_probability(violated: int, images: int, *, calibrated_on: int, epsilon: float) -> float:
    """How probable so many violations, or more, among further images are at most where a marginal threshold is right.

    The rate of one marginal threshold may well lie above epsilon: it does so on average over calibrations only. With
    ``k = floor(epsilon (n + 1))`` the threshold lies no lower than the k-th largest of n exchangeable values, and the
    number of further ones beyond that one is beta-binomial, whatever their distribution.

    Args:
        violated: number of further images whose claim is violated, in [0, images].
        images: number of further images, at least 1.
        calibrated_on: number n >= 1 of images that the threshold was chosen on.
        epsilon: rate that was allowed, in (0, 1).

    Returns:
        Probability in [0, 1], over calibration images and further ones.

    Raises:
        ValueError: if a number lies outside its range.
    """
    checked_counts(violated, images)
    checked_counts(0, calibrated_on)
    check_probability(epsilon, "epsilon")
    most = math.floor(epsilon * (calibrated_on + 1))
    if violated == 0 or most == 0:  # no threshold is right on so few images, and nothing is claimed
        return float(violated == 0)
    from scipy.stats import betabinom  # takes a second, which only this check waits for

    return float(betabinom.sf(violated - 1, images, most, calibrated_on + 1 - most))
