"""Radii that tables are made for where nobody asked for others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def round_radii(top: float) -> list[float]:
    """0 and up to five round radii up to the largest certified one, whatever its size.

    Args:
        top: the largest certified radius, in pixel units; 0 where there is none.
    """
    if not 1e-300 < top < math.inf:
        return [0.0]
    size = math.floor(math.log10(top))
    steps: Mapping[float, int] = {m * 10.0**e: int(top / (m * 10.0**e)) for e in (size - 1, size) for m in (1, 2, 5)}
    step = min(length for length, count in steps.items() if 1 <= count <= 5)
    return [round(k * step, 9 - size) for k in range(steps[step] + 1)]


def beyond_words(radii: Iterable[float], ceiling: float | None) -> str:
    """Those of some radii that nothing can be certified at, in words; "" for none.

    Args:
        radii: in pixel units.
        ceiling: the largest radius that can be had; None where there is no such bound.
    """
    return ", ".join(f"{radius:g}" for radius in radii if ceiling is not None and radius > ceiling)
