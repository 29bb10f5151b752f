"""Rows on disk: one JSON line per record, appended and flushed per image, resumable after a kill.

Each rank writes its own file. A run that was killed may leave a torn last line: readers skip and report it, and a
writer that resumes cuts it off before appending.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from hrvlm.rows.lines import iterate_lines, line_of, row_of
from hrvlm.rows.locking import Hold, open_held
from hrvlm.rows.record import Record, Row

_log = logging.getLogger(__name__)


class Writable(Protocol):
    """Whatever makes one row of itself: certificates, and other evaluations that are written the same way."""

    def to_row(self) -> Row:
        """Flat mapping of JSON values."""


class RecordWriter:
    """Appends records to a file; each `write` reaches the operating system as one piece before it returns.

    Args:
        path: file to append to; created with its folder if absent. A torn last line is cut off and reported in
            `recovered` and in the log. No other process may write to the file meanwhile.

    Attributes:
        recovered: the torn line that was cut off, or None.

    Raises:
        ValueError: if another process writes to this file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._hold = Hold(self.path)
        try:
            self._file = open_held(self.path)
            self.recovered = cut_torn_line(self.path)
        except BaseException:
            self._hold.release()
            raise

    def write(self, records: Iterable[Writable]) -> None:
        """Append the records of one image and flush.

        Raises:
            ValueError: if the file has been removed or replaced, or its folder has: what was written would be lost.
        """
        if not _is_at(self._file, self.path):
            raise ValueError(
                f"expected {self.path} to stay while it is written to, it was removed or moved: rows that were not "
                "merged before are no longer there; start again, with another output if something else removes it"
            )
        self._file.write("".join(_line(record) + "\n" for record in records))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._hold.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _line(record: Writable) -> str:
    return record.to_line() if isinstance(record, Record) else line_of(record.to_row())


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one of that name, neither removed nor replaced nor moved."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_rows(path: str | Path) -> list[Row]:
    """Rows of a file; a torn last line is left out and reported in the log (see `torn_line`).

    Raises:
        ValueError: if any other line is not a JSON object.
    """
    return [row for _, row in read_lines(path)]


def read_lines(path: str | Path) -> Iterator[tuple[str, Row]]:
    """Lines of a file, without their ends, and their rows, one after the other; see `read_rows`.

    Raises:
        ValueError: if a line other than a torn last one is not a JSON object in UTF-8.
    """
    for number, line in iterate_lines(path):
        row = row_of(line, f"line {number} of {path}")
        yield line.decode("utf-8"), row


def torn_line(path: str | Path) -> bytes | None:
    """The torn last line of a file that a killed run left behind, or None."""
    return _split(Path(path).read_bytes())[1] or None


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Whole lines, and what follows the last line end."""
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def cut_torn_line(path: Path) -> bytes | None:
    """Cut a torn last line off a file and return it."""
    whole, torn = _split(path.read_bytes())
    if not torn:
        return None
    with path.open("r+b") as file:
        file.truncate(len(whole))
    _log.warning("%s: a torn last line (%d bytes) was cut off before appending", path, len(torn))
    return torn
