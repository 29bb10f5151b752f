"""How far a command has come: a live line where somebody sits, and elsewhere plain lines, seldom.

Both go to standard error, so that results alone are on standard output. Tasks of a few seconds say nothing outside a
terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from hrvlm.evaluation.pace import Pace, in_words, tell
from hrvlm.trees.words import printable

T = TypeVar("T")


class Followed(Protocol):
    """A task whose progress is shown.

    Attributes:
        note: What is known so far, in a few words, shown with what comes next.
    """

    note: str

    def advance(self, amount: float = 1) -> None:
        """Says that so much more is done."""


class PlainTask:
    """A task that is told of in lines, by the speed since the last one."""

    def __init__(self, what: str, total: float, pace: Pace | None = None) -> None:
        self.what, self.total, self.note = what, total, ""
        self._pace = pace or Pace()
        self._done, self._said = 0.0, (0.0, self._pace.clock())

    def advance(self, amount: float = 1) -> None:
        """See `Followed.advance`; prints a line if one is due."""
        self._done += amount
        if self._pace.due():
            tell(self._line())

    def _line(self) -> str:
        (done, then), now = self._said, self._pace.clock()
        self._said = self._done, now
        speed = (self._done - done) / max(now - then, 1e-9)
        left = f", {in_words((self.total - self._done) / speed)} left" if speed > 0 else ""
        share = f" ({self._done / self.total:.0%})" if self.total else ""
        note = f"; {self.note}" if self.note else ""
        return f"{self.what}: {self._done:g} of {self.total:g}{share}, {speed:.3g} a second{left}{note}"


class LiveTask:
    """A task of a live display."""

    def __init__(self, display: Progress, what: str, total: float) -> None:
        self.note, self._display, self._left = "", display, total
        self.number = display.add_task(printable(what), total=total, note="")

    def advance(self, amount: float = 1) -> None:
        """See `Followed.advance`; the end is shown even where it comes between two refreshes."""
        self._left -= amount
        self._display.update(self.number, advance=amount, note=printable(self.note), refresh=self._left <= 0)


class SilentTask:
    """A task that nobody is told of, on all processes but the first."""

    note = ""

    def advance(self, amount: float = 1) -> None:
        """Does nothing."""


def somebody_sits_there() -> bool:
    """Whether progress goes to a terminal, which lines can be changed in."""
    return Console(stderr=True).is_interactive


def live_display() -> Progress:
    """A live display on standard error, gone when it is stopped; what else is printed meanwhile stands above it."""
    rest = Column(no_wrap=True, ratio=1, overflow="ellipsis")  # what a narrow terminal leaves beside the numbers
    what = TextColumn("{task.description}", markup=False)
    note = TextColumn("{task.fields[note]}", markup=False, table_column=rest)
    columns: tuple[Any, ...] = (what, BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn(), note)
    redirect = sys.stdout.isatty()  # what goes to a file stays there
    return Progress(*columns, console=Console(stderr=True), expand=True, transient=True, redirect_stdout=redirect)


@contextmanager
def following(what: str, total: float, *, shown: bool = True) -> Iterator[Followed]:
    """Shows how far a task has come while it runs.

    Args:
        what: The task, such as "certifying".
        total: To how much `advance` will add up.
        shown: Whether this process is the one that tells.
    """
    if not shown:
        yield SilentTask()
    elif somebody_sits_there():
        with live_display() as display:
            yield LiveTask(display, what, total)
    else:
        yield PlainTask(what, total)


def followed(found: Iterable[T], what: str, total: float) -> Iterator[T]:
    """The same, one after the other, while it is shown how many have come.

    Args:
        found: Whatever takes long.
        what: What is done with it, such as "verifying".
        total: How many there are.
    """
    with following(what, total) as task:
        for each in found:
            yield each
            task.advance()
