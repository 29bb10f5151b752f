"""Work that users ask for faster than it can be done: of each kind only the newest is done, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Newest:
    """Runs what it is given, unless newer work of its kind is given while it waits; may be called from several threads.

    Work of another kind is not replaced: a prompt that is typed makes no picture that waits of no use.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[str, Callable[[], None]] = {}
        self._busy = False

    def __call__(self, kind: str, work: Callable[[], None]) -> None:
        """Does the work now, or leaves it to the thread that works already, in place of older work of its kind."""
        with self._lock:
            self._waiting[kind] = work
            if self._busy:
                return
            self._busy = True
        while True:
            with self._lock:
                if not self._waiting:
                    self._busy = False
                    return
                work_now = self._waiting.pop(next(iter(self._waiting)))
            try:
                work_now()
            except BaseException:
                with self._lock:
                    self._busy = False
                raise
