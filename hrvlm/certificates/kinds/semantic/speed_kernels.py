"""Shares of changes along rotations of many speeds, in machine code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates._jit import compiled

Numbers = NDArray[np.float64]


@compiled
def shares_of(extent: Numbers, length: Numbers, shares: Numbers, fractions: Numbers) -> Numbers:
    """The largest shares of changes within stretches of their rotations, at most 1, as `PathSpeed.share_of` has them.

    Args:
        extent: `(P,)` radians that stretches are long; of one of 0 the share is 0.
        length: `(P,)` radians of the whole rotations.
        shares: knots `(P, Q)` of the speeds, the last one repeated where there are fewer.
        fractions: likewise.
    """
    found = np.zeros(len(extent))
    for i in range(len(extent)):
        if not (extent[i] > 0.0 and length[i] > 0.0):
            continue
        fraction, knots, after = extent[i] / length[i], shares.shape[1], 0
        while after < knots and fractions[i, after] <= fraction:
            after += 1
        low, high = max(after - 1, 0), min(after, knots - 1)
        rise = fractions[i, high] - fractions[i, low]
        part = (fraction - fractions[i, low]) / rise if rise > 0.0 else 0.0
        found[i] = min(1.0, shares[i, low] + part * (shares[i, high] - shares[i, low]))
    return found
