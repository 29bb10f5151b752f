"""One run's rows in several files: every process appends to a part of its own, and the parts are merged at the end.

`DIR/certificates.jsonl` holds merged rows, `DIR/certificates.parts/rank=R.jsonl` what process R has added since. Rows
are merged into a new file that replaces the old one in a single step, and only then are parts removed: whenever a run
is killed, every row that was written whole is in one of the files, and readers count a row once.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from hrvlm.certificates.records import Key, Row
from hrvlm.certificates.rows import RecordWriter, read_lines, row_key

RowKey = Callable[[Row], Any]
_log = logging.getLogger(__name__)


def part_path(path: str | Path, rank: int) -> Path:
    """File of one process beside the merged file `path`."""
    return _folder(Path(path)) / f"rank={rank}.jsonl"


def part_files(path: str | Path) -> list[Path]:
    """Files that hold rows of the run whose merged file is `path`: that file, then its parts; those that exist."""
    merged = Path(path)
    parts = sorted(_folder(merged).glob("rank=*.jsonl"), key=lambda part: int(part.stem.partition("=")[2]))
    return [merged, *parts] if merged.exists() else parts


class PartWriter(RecordWriter):
    """Appends to the part of one process, which no other process may write to meanwhile.

    Args:
        path: merged file of the run.
        rank: number of the process.

    Raises:
        ValueError: if another process writes to this part.
    """

    def __init__(self, path: str | Path, rank: int) -> None:
        part = part_path(path, rank)
        part.parent.mkdir(parents=True, exist_ok=True)
        check_unused(path, [part])
        super().__init__(part)
        lock(self._file, part)


def check_unused(path: str | Path, parts: list[Path] | None = None) -> None:
    """Raise ValueError if a process, such as one left over from a killed run, still writes to a part of the run."""
    for part in parts if parts is not None else part_files(path):
        if part.exists():
            with part.open("rb") as file:
                lock(file, part)


def lock(file: IO[str] | IO[bytes], path: Path) -> None:
    """Hold a file until it is closed; the system lets go of it when the process dies.

    Raises:
        ValueError: if another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(
            f"expected no other process to write to {path}, got one that does; wait for it or end it"
        ) from error
    except OSError as error:  # some network file systems have no locks
        _log.warning("%s cannot be locked (%s): make sure that only one run writes to this folder", path, error)


def run_rows(path: str | Path, key: RowKey = row_key) -> list[Row]:
    """All rows of a run, finished or not, ordered by kind, dataset index and statement.

    Args:
        path: merged file of the run.
        key: what a row states, by which rows are ordered; of certificates if not given.

    Raises:
        ValueError: if two different rows make the same statement about the same image.
    """
    return [json.loads(line) for line in _sorted_lines(Path(path), key)]


def unchecked_rows(path: str | Path) -> list[Row]:
    """All rows of a run as they are, readable as records or not; lines that a kill left in two files count once."""
    rows, seen = [], set[str]()
    for part in part_files(path):
        lines = read_lines(part)
        rows += [row for line, row in lines if line not in seen]
        seen |= {line for line, _ in lines}
    return rows


def run_keys(path: str | Path) -> set[Key]:
    """Keys of all statements that a run has certified so far; see `done_keys`."""
    return {key for key, _ in _keyed_lines(Path(path), row_key)}


def merge_parts(path: str | Path, key: RowKey = row_key) -> None:
    """Move the rows of all parts into the merged file, ordered by kind, dataset index and statement.

    The file depends on its rows alone, not on how many processes wrote them, in which order, or after which kills.

    Args:
        path: merged file of the run.
        key: as in `run_rows`.

    Raises:
        ValueError: if two different rows make the same statement, or a process still writes to a part.
    """
    merged = Path(path)
    check_unused(merged)
    replace_text(merged, "".join(line + "\n" for line in _sorted_lines(merged, key)))
    for part in part_files(merged):
        if part != merged:
            part.unlink()
    if _folder(merged).is_dir():
        _folder(merged).rmdir()


def replace_text(path: Path, text: str) -> None:
    """Write a file so that it holds the old text or the new one, whenever the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _folder(merged: Path) -> Path:
    return merged.with_suffix(".parts")


def _sorted_lines(merged: Path, key: RowKey) -> list[str]:
    found: dict[Any, str] = {}
    for stated, line in _keyed_lines(merged, key):
        if found.setdefault(stated, line) != line:
            raise ValueError(
                f"expected one row per image and statement, got two different ones for {stated} in {merged}"
            )
    return [found[stated] for stated in sorted(found)]


def _keyed_lines(merged: Path, key: RowKey) -> Iterator[tuple[Any, str]]:
    for part in part_files(merged):
        for line, row in read_lines(part):
            yield key(row), line
