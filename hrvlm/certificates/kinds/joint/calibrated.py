"""How far joint certificates may be read as statements about pictures: their extents under a calibrated demand.

A joint row says of noisy embeddings how many keep the class how far. Asked of pictures, its claim is: every picture of
the change up to a share of it, and every image within a radius r of that picture, has the stated class under the
smoothed classifier. Whether it is right of a shown picture is itself seen through noise: by n fresh copies of it, whose
count certifies the class at r with error probability alpha. The loss of an image is 1 where a picture within its extent
is not so certified. Losses of this procedure are 0 or 1 and exchangeable over images, each with noise of its own, so
`calibrate_risk` applies to them: the next image's loss is 1 with probability at most epsilon. Its claim about smoothed
classes is then false with probability at most ``epsilon + T * alpha``, T being the number of pictures: where no loss is
seen, some certificate must have been wrong. Noise of calibration and of certified images must not be the same draws.

Extents shrink with a demand d, so losses do not grow with it. For d in [0, 1] more of the n copies must keep the class:
from as many as certify the radius (d = 0, the raw extent) to all of them; for d in [1, 2] the extent that all keep
shrinks to nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.joint.claim import at_least, needed_count
from hrvlm.certificates.kinds.joint.grid import ExtentGrid
from hrvlm.certificates.kinds.joint.record import JointRecord

DEMANDS: tuple[float, ...] = tuple(step / 200 for step in range(401))
"""The grid of demands, fixed before any picture was seen."""


def demanded_extent(record: JointRecord, radius: float, demand: float) -> float | None:
    """Share of the change up to which a joint row claims its class at a radius and a demand.

    Args:
        record: row with ``move: target``, whose extents are shares of the way to the target.
        radius: L2 radius, one of those that the row states extents at.
        demand: in [0, 2]; 0 for the extent that the row states.

    Returns:
        The share in [0, 1], not growing with the demand; None where nothing is claimed, not even of the image itself.

    Raises:
        ValueError: if the row measures another move, or does not state the radius, or the demand lies outside.
    """
    _check(record, radius)
    if not 0 <= demand <= 2:
        raise ValueError(f"expected a demand in [0, 2], got {demand}: calibration gives such numbers")
    found = float(_extents(record, radius, np.array([demand]))[0])
    return found if found >= 0 else None


def _extents(record: JointRecord, radius: float, demands: NDArray[np.float64]) -> NDArray[np.float64]:
    """Extents `(M,)` at several demands; -1 where nothing is claimed."""
    least = needed_count(record.n, record.alpha_share, radius, record.sigma, threshold=record.threshold)
    asked = least + np.ceil(np.minimum(demands, 1.0) * (record.n - least)).astype(np.int64)
    reached = np.searchsorted(-at_least(record.counts()), -asked, side="right") - 1
    edges = ExtentGrid(record.move, record.steps).edges
    claimed = (reached >= 0) & (least <= record.n)
    return np.where(claimed, edges[reached.clip(min=0)] * np.minimum(1.0, 2 - demands), -1.0)


def first_uncertified(
    counts: NDArray[np.int64], shares: NDArray[np.float64], *, n: int, alpha: float, radius: float, sigma: float
) -> float:
    """The smallest share of a change whose picture is not certified to have the class of the image; infinite for none.

    Args:
        counts: `(T,)` how many of n noisy copies of each picture have that class, by noise of their own.
        shares: `(T,)` of the change that the pictures show.
        n: copies of each picture, fixed in advance.
        alpha: error probability of the certificate of one picture.
        radius: L2 radius within which the smoothed class shall hold.
        sigma: standard deviation of the noise.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    least = needed_count(n, alpha, radius, sigma)
    return float(np.where(np.asarray(counts) < least, shares, math.inf).min(initial=math.inf))


def joint_losses(record: JointRecord, radius: float, first: float) -> NDArray[np.int64]:
    """Whether the claim of a row is violated at each of `DEMANDS`, `(401,)` of 0 and 1, for `calibrate_risk`.

    Args:
        record: of the image.
        radius: of the claim.
        first: see `first_uncertified`.

    Raises:
        ValueError: see `demanded_extent`.
    """
    _check(record, radius)
    extents = _extents(record, radius, np.array(DEMANDS))
    return ((extents >= 0) & (extents >= first)).astype(np.int64)


def _check(record: JointRecord, radius: float) -> None:
    if record.move != "target":
        raise ValueError(f"expected a joint row with move: target, whose extents are shares, got {record.move!r}")
    if radius not in dict(record.at_radii):
        raise ValueError(f"expected one of the radii {[r for r, _ in record.at_radii]} of the row, got {radius}")
