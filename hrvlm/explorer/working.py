"""Work that users ask for faster than it can be done: only the newest is done, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Newest:
    """Runs what it is given, unless something newer is given while it waits; may be called from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: Callable[[], None] | None = None
        self._busy = False

    def __call__(self, work: Callable[[], None]) -> None:
        """Does the work now, or leaves it to the thread that works already, in place of what waits there."""
        with self._lock:
            self._waiting = work
            if self._busy:
                return
            self._busy = True
        while True:
            with self._lock:
                work_now, self._waiting = self._waiting, None
                if work_now is None:
                    self._busy = False
                    return
            try:
                work_now()
            except BaseException:
                with self._lock:
                    self._busy = False
                raise
