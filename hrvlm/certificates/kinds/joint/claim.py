"""From counted extents to joint claims about every image within a radius and every semantic move up to an extent.

Let E be the extent of one noisy copy (see `sample_extents`). "The label holds all the way to e" is a fixed set of noisy
images for every fixed e, so its probability under the noise changes with the image as that of any label does: if it is
at least Phi(r / sigma + Phi^-1(tau)) at the image, it is at least tau at every image within r (L2).

* Radius fixed in advance: k is the least count that rejects, at error alpha, "the probability is at most that much".
  The k-th largest extent E* is then certified. It needs no union over extents: if e is the extent beyond which the
  probability is too small, a false claim means at least k extents beyond e, which happens with probability <= alpha.
* Extent fixed in advance: the count of extents at least that large gives a Clopper-Pearson bound and so a radius.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.joint.grid import ExtentGrid
from hrvlm.certificates.statistics.binomial import smoothing_radius
from hrvlm.certificates.statistics.radii import least_count, radius_probability


def at_least(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many extents reach each step, from how many lie at each step: both `(steps + 1,)`, non-increasing."""
    return np.cumsum(histogram[::-1])[::-1]


def needed_count(n: int, alpha: float, radius: float, sigma: float, *, threshold: float = 0.5) -> int:
    """Least count of n samples that certifies a radius fixed in advance at error alpha; n + 1 if none does.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    probability = float(radius_probability(radius, sigma, threshold=threshold))
    return least_count(n, alpha, probability) if probability < 1 else n + 1


def extent_at_radius(
    histogram: NDArray[np.int64],
    n: int,
    alpha: float,
    radius: float,
    sigma: float,
    grid: ExtentGrid,
    *,
    threshold: float = 0.5,
) -> float | None:
    """Extent to which the label is certified for every image within a radius fixed in advance.

    Args:
        histogram: `(steps + 1,)` extents counted by `grid.count`, of a class chosen independently of them.
        n: samples drawn, those without the label included; fixed in advance.
        alpha: error probability of this one claim.
        radius: L2 radius in the units of sigma, at least 0.
        sigma: standard deviation of the noise.
        grid: where extents were counted.
        threshold: probability that the label must keep all the way; 1/2 makes it the majority.

    Returns:
        The extent, or None where not even the label without any move is certified.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    reached = np.flatnonzero(at_least(histogram) >= needed_count(n, alpha, radius, sigma, threshold=threshold))
    return float(grid.edges[reached[-1]]) if len(reached) else None


def radius_at_extent(
    histogram: NDArray[np.int64],
    n: int,
    alpha: float,
    extent: float,
    sigma: float,
    grid: ExtentGrid,
    *,
    threshold: float = 0.5,
) -> float:
    """L2 radius within which the label is certified up to an extent fixed in advance; 0 where nothing is.

    Takes the arguments of `extent_at_radius`.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    count = int(at_least(histogram)[grid.step_above(extent)])
    return float(smoothing_radius(count, n, alpha, sigma, threshold=threshold))
