"""What benchmarks/training.py found so far, as lines of a file, which several processes may read and add to.

A line is one piece of work's result with a number or a sign per picture, so that every average and test is recomputed
from the file, and work that has a line is not done again, on this machine or another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hrvlm.rows.jsonl import cut_torn_line, read_rows

RUNS = Path("runs/benchmark-training")
Line = dict[str, Any]


class Results:
    """The lines on file."""

    def __init__(self, path: Path, setting: dict[str, Any], runs: Path = RUNS) -> None:
        """Opens the file, which need not be there.

        Args:
            path: The file.
            setting: What results depend on; JSON values.
            runs: Folder of weights and locks, which need not last.

        Raises:
            ValueError: If the lines on file were measured with another setting.
        """
        self.path, self.runs = path, runs
        self._size, self._lines = -1, list[Line]()
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(self.runs, "results", wait=True):
            if not self.lines():
                self._append([{"part": "setting", **setting}])
        kept = {key: value for key, value in self.lines()[0].items() if key != "part"}
        if kept != setting:
            changed = sorted(key for key in {*kept, *setting} if kept.get(key) != setting.get(key))
            raise ValueError(
                f"expected results of this benchmark's setting in {path}, got some with another {', '.join(changed)}: "
                "they do not compare; move the file away to start anew, or go on with the version that made it"
            )

    def lines(self) -> list[Line]:
        """All there are; read again where the file has grown."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size != self._size:
            self._size, self._lines = size, read_rows(self.path) if size else []
        return self._lines

    def find(self, part: str, **values: Any) -> list[Line]:
        """Lines of a part with these values."""
        return [
            line
            for line in self.lines()
            if line["part"] == part and all(line.get(key) == value for key, value in values.items())
        ]

    def add(self, lines: list[Line]) -> None:
        """Appends lines, all of them or none."""
        with lock(self.runs, "results", wait=True):
            self._append(lines)

    def _append(self, lines: list[Line]) -> None:
        if self.path.exists():
            cut_torn_line(self.path)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))


@contextmanager
def lock(folder: Path, name: str, *, wait: bool) -> Iterator[bool]:
    """Holds a lock that goes with the process; yields whether it was free."""
    folder.mkdir(parents=True, exist_ok=True)
    guard = FileLock(folder / f"{name}.lock", timeout=-1 if wait else 0)
    try:
        guard.acquire()
    except Timeout:
        yield False
        return
    with guard:
        guard.release()  # of the two that count now
        yield True
