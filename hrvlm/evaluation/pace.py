"""Plain lines of progress, for files and jobs of queues: when they are due, and the one of a command that is silent.

They go to standard error, so that results alone are on standard output.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from hrvlm.trees.words import printable

FIRST, EVERY = 5.0, 30.0
"""Seconds until the first plain line, and from one to the next."""
_LEAST = 0.05  # seconds between looks
Clock = Callable[[], float]


class Lines:
    """When progress was last told in a line, of whichever task.

    Attributes:
        at: By the clock of their pace.
    """

    at = -math.inf


LINES = Lines()
"""Of this process: its tasks share the seconds between lines."""


class Pace:
    """When plain lines of a task are due: after `FIRST` seconds, then every `EVERY`, those of other tasks counted.

    Args:
        clock: Seconds.
        lines: What is shared with other tasks.
    """

    def __init__(self, clock: Clock = time.monotonic, lines: Lines = LINES) -> None:
        self.clock, self._lines = clock, lines
        self._due = clock() + FIRST

    def due(self) -> bool:
        """Whether a line is due; the next one is not until `EVERY` seconds have passed."""
        now = self.clock()
        if now < max(self._due, self._lines.at + EVERY):
            return False
        self._lines.at = now
        return True


def tell(line: str) -> None:
    """Prints a line at once."""
    print(printable(line), file=sys.stderr, flush=True)


@contextmanager
def still_working(program: str) -> Iterator[None]:
    """Says that a command is at work when no task has told of its progress for longer than it would if it went on.

    Such a line takes no task's turn. Nothing is said in a terminal, where a line stands at the bottom while a task
    goes on.

    Args:
        program: What the line calls it.
    """
    if sys.stderr.isatty():
        yield
        return
    began, ended = time.monotonic(), Event()

    def tell_of_silence() -> None:
        said = began
        while not ended.wait(max(_LEAST, max(said, LINES.at) + EVERY + FIRST - time.monotonic())):
            if (now := time.monotonic()) >= max(said, LINES.at) + EVERY + FIRST:
                said = now
                tell(f"{program}: at work for {in_words(now - began)}")

    thread = Thread(target=tell_of_silence, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def in_words(seconds: float) -> str:
    """A duration, to about two digits: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
