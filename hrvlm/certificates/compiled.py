"""Loops in machine code, for what has no vectorised form or would touch memory too often."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function in machine code, made when it is first called; Python's interpreter lock is released in it.

    Operations are those of IEEE 754, neither reordered nor fused, so results are the same on every machine. The code is
    kept with the package or, where that cannot be written, in the user's cache.
    """
    return cast(F, numba.njit(function, nogil=True, cache=True, error_model="numpy"))
