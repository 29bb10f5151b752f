"""Loops in machine code, for what has no vectorised form or would touch memory too often."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., object])
_log = logging.getLogger(__name__)


class _RebuiltCache(FunctionCache):
    """Kept machine code; what a kill or a full disk has left damaged is made anew."""

    def load_overload(self, *given: Any) -> Any:
        """Kept code of a signature, or None where there is none that can be read."""
        try:
            return super().load_overload(*given)
        except Exception as error:  # pickle raises errors of nearly every kind
            kind = type(error).__name__
            _log.warning("compiled code in %s is damaged (%s: %s) and is made again", self.cache_path, kind, error)
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *given: Any) -> None:
        """Keep code, if there is room for it."""
        try:
            super().save_overload(*given)
        except OSError as error:
            _log.warning("compiled code cannot be kept in %s: %s", self.cache_path, error)


def compiled(function: F) -> F:
    """The function in machine code, made when it is first called; Python's interpreter lock is released in it.

    Operations are those of IEEE 754, neither reordered nor fused: a function of sums, products, quotients and square
    roots has the same results on every machine. The code is kept beside the source or, where that cannot be written, in
    the user's cache (`NUMBA_CACHE_DIR` names another place); where there is neither, each process makes its own. Kept
    code that is damaged is made again.
    """
    made = numba.njit(function, nogil=True, error_model="numpy")
    with suppress(RuntimeError):  # no place to keep it
        made._cache = _RebuiltCache(function)  # type: ignore[attr-defined]  # as `cache=True` does, with its own class
    return cast(F, made)
