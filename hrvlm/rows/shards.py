"""One run's rows in several shards: every process appends to one of its own, and shards are merged at the end.

`DIR/certificates.jsonl` holds merged rows, `DIR/certificates.parts/rank=R.jsonl` what process R has added since. Rows
are merged into a new file that replaces the old one in a single step, and only then are shards removed: whenever a run
is killed, every row that was written whole is in one of the files, and readers count a row once.
"""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from hrvlm.rows.jsonl import RecordWriter, read_lines
from hrvlm.rows.lines import iterate_lines, row_of
from hrvlm.rows.locking import held
from hrvlm.rows.record import Row
from hrvlm.whole_files import whole_file

RowKey = Callable[[Any], Any]
Reader = Callable[[bytes, str], Any]
"""Of a line, and of where it is in words, what a key is of."""
_PART = re.compile(r"rank=(\d{1,9})\.jsonl")


def shard_path(path: str | Path, rank: int) -> Path:
    """File of one process beside the merged file `path`."""
    return _folder(Path(path)) / f"rank={rank}.jsonl"


def shard_files(path: str | Path) -> list[Path]:
    """Files that hold rows of the run whose merged file is `path`: that file, then its shards; those that exist.

    Raises:
        ValueError: if something else lies among them; hidden files, such as those of file managers, are left alone.
    """
    merged = Path(path)
    folder = _folder(merged)
    if merged.exists() and not merged.is_file():
        raise ValueError(f"expected a file at {merged}, got a folder; move it elsewhere")
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise ValueError(f"expected a folder of parts at {folder}, got a file; move it elsewhere")
        return [merged] if merged.exists() else []
    ranked = {entry: _rank(entry) for entry in folder.iterdir() if not entry.name.startswith(".")}
    parts = sorted(ranked, key=lambda part: ranked[part])
    return [merged, *parts] if merged.exists() else parts


class ShardWriter(RecordWriter):
    """Appends to the shard of one process, which no other process may write to meanwhile.

    Args:
        path: merged file of the run.
        rank: number of the process.

    Raises:
        ValueError: if another process writes to this shard.
    """

    def __init__(self, path: str | Path, rank: int) -> None:
        super().__init__(shard_path(path, rank))
        self._merged = path

    def close(self) -> None:
        """Closes the file, and removes the folder of shards if its shard has been removed meanwhile."""
        super().close()
        remove_folder(self._merged)


def check_unused(path: str | Path) -> None:
    """Raise ValueError if a process, such as one left over from a killed run, still writes to a shard of the run."""
    with ExitStack() as stack:
        _hold_shards(Path(path), stack)


def _hold_shards(merged: Path, stack: ExitStack) -> list[Path]:
    """The files of a run, which no other process can write to until the stack is left."""
    parts = shard_files(merged)
    for part in parts:
        stack.enter_context(held(part))
    return [part for part in parts if part.exists()]  # another process may have merged them just before


def run_rows(path: str | Path, key: RowKey, read: Reader = row_of) -> list[Row]:
    """All rows of a run, finished or not, ordered by kind, dataset index and statement.

    Args:
        path: merged file of the run.
        key: what a row states, by which rows are ordered; of what `read` makes of lines.
        read: the rows by default.

    Raises:
        ValueError: if two different rows make the same statement about the same image.
    """
    return [json.loads(line) for line in _sorted_lines(Path(path), key, read)]


def unchecked_rows(path: str | Path) -> list[Row]:
    """All rows of a run as they are, readable as records or not; lines that a kill left in two files count once."""
    rows, seen = [], set[str]()
    for part in shard_files(path):
        lines = list(read_lines(part))
        rows += [row for line, row in lines if line not in seen]
        seen |= {line for line, _ in lines}
    return rows


def run_keys(path: str | Path, key: RowKey, read: Reader = row_of) -> set[Any]:
    """What all rows of a run state so far."""
    lines = ((line, _where(number, part)) for part in shard_files(path) for number, line in iterate_lines(part))
    return {key(read(*line)) for line in lines}


def merge_shards(path: str | Path, key: RowKey, read: Reader = row_of) -> None:
    """Move the rows of all shards into the merged file, ordered by kind, dataset index and statement.

    The file depends on its rows alone, not on how many processes wrote them, in which order, or after which kills. In
    memory are what rows state and where they lie, never more than one of the rows.

    Args:
        path: merged file of the run.
        key: as in `run_rows`, of what `read` makes of lines.
        read: the rows by default.

    Raises:
        ValueError: if two different rows make the same statement, or a process still writes to a shard.
    """
    merged = Path(path)
    with ExitStack() as stack:  # a process that opens a part now must find it locked, or gone
        parts = _hold_shards(merged, stack)
        with whole_file(merged) as new, new.open("wb") as file:
            file.writelines(line + b"\n" for line in _sorted_lines(merged, key, read))
        for part in parts:
            if part != merged:
                part.unlink()
    remove_folder(merged)


def remove_folder(path: str | Path) -> None:
    """Remove the folder of shards of a run, if there is nothing in it."""
    with suppress(OSError):
        _folder(Path(path)).rmdir()


def _folder(merged: Path) -> Path:
    return merged.with_suffix(".parts")


def _rank(part: Path) -> int:
    found = _PART.fullmatch(part.name)
    if found is None or not part.is_file():
        raise ValueError(
            f"expected files named rank=NUMBER.jsonl alone in {part.parent}, got {part.name!r}; move it elsewhere"
        )
    return int(found[1])


def _where(number: int, part: Path) -> str:
    return f"line {number} of {part}"


def _sorted_lines(merged: Path, key: RowKey, read: Reader) -> Iterator[bytes]:
    """Lines of all shards in the order of what they state, each read again where it lies."""
    numbers: dict[Any, int] = {}
    places = array("q")
    with ExitStack() as stack:
        parts = shard_files(merged)
        files = [stack.enter_context(part.open("rb")) for part in parts]

        def line_at(number: int) -> bytes:
            file, offset, length = places[3 * number : 3 * number + 3]
            files[file].seek(offset)
            return files[file].read(length)

        for file, part in enumerate(parts):
            offset = 0
            for number, line in iterate_lines(part):
                stated = key(read(line, _where(number, part)))
                if stated not in numbers:
                    numbers[stated] = len(numbers)
                    places.extend((file, offset, len(line)))
                elif line_at(numbers[stated]) != line:
                    raise ValueError(
                        f"expected one row per image and statement, got two different ones for {stated} in {merged}"
                    )
                offset += len(line) + 1
        for stated in sorted(numbers):
            yield line_at(numbers[stated])
