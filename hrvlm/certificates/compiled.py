"""Loops in machine code, for what has no vectorised form or would touch memory too often."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function in machine code, made when it is first called; Python's interpreter lock is released in it.

    Operations are those of IEEE 754, neither reordered nor fused: a function of sums, products, quotients and square
    roots has the same results on every machine. The code is kept beside the source or, where that cannot be written, in
    the user's cache (`NUMBA_CACHE_DIR` names another place); where there is neither, each process makes its own.
    """
    try:
        return cast(F, numba.njit(function, nogil=True, error_model="numpy", cache=True))
    except RuntimeError:  # no place to keep it
        return cast(F, numba.njit(function, nogil=True, error_model="numpy"))
