"""Manifests: tables of picture files and their classes, as CSV, TSV or JSON lines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from hrvlm.trees.bounded_text import load_json, read_text
from hrvlm.trees.nodes import some
from hrvlm.trees.words import composed

SUFFIXES = {".csv": ",", ".tsv": "\t", ".jsonl": ""}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a manifest are called.

    Attributes:
        path: Column of the picture files, relative to the manifest's folder or absolute.
        label: Column of the classes, by id or name; it may lack, and so may a label in it.
        others: Columns that are there for other purposes and are not read; all others are refused.
    """

    path: str = "path"
    label: str = "label"
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A picture of a manifest.

    Attributes:
        path: The file.
        label: Its class by id or name; None where it has none.
    """

    path: Path
    label: str | None


def read_manifest(path: str | Path, columns: Columns | None = None) -> list[Entry]:
    """The pictures of a manifest, in its order.

    Args:
        path: A .csv or .tsv file whose first line names the columns, or a .jsonl file of objects.
        columns: What the columns are called; None for "path" and "label".

    Raises:
        ValueError: In one sentence, if the manifest is missing, malformed or empty, has unknown columns, or names files
            that are not there, or one twice.
    """
    columns, path = columns or Columns(), Path(path)
    entries = [_entry(path, number, row, columns) for number, row in manifest_rows(path)]
    if not entries:
        raise ValueError(f"expected at least one picture in the manifest {path}, got none")
    check_present(path, [entry.path for entry in entries])
    twice = [str(file) for file, count in Counter(entry.path for entry in entries).items() if count > 1]
    if twice:
        raise ValueError(f"expected every picture once in the manifest {path}, got again: {some(twice, 3)}")
    return entries


def manifest_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of a manifest with the numbers of their lines.

    Raises:
        ValueError: In one sentence, if it cannot be read.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a manifest (.csv, .tsv or .jsonl, UTF-8) at {path}: {error}") from error
    delimiter = SUFFIXES[path.suffix.lower()]
    return _of_table(path, text, delimiter) if delimiter else _of_lines(path, text)


def _of_table(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = list(reader.fieldnames or ())
        if len(set(names)) < len(names):
            raise ValueError(f"expected columns of different names in the first line of {path}, got {some(names)}")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(
                    f"expected as many values as there are columns ({len(names)}) in line "
                    f"{reader.line_num} of {path}, got {'more' if None in row else 'fewer'}"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"expected a table in {path}, got a fault in line {reader.line_num}: {error}") from error


def _of_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = load_json(line)
        except ValueError as error:
            raise ValueError(f"expected a JSON object in line {number} of {path}: {error}") from error
        if not isinstance(found, dict):
            raise ValueError(f"expected a JSON object in line {number} of {path}, got {line[:60]!r}")
        yield number, found


def _entry(manifest: Path, number: int, row: Mapping[str, Any], columns: Columns) -> Entry:
    where = f"line {number} of {manifest}"
    unknown = [key for key in row if key not in (columns.path, columns.label, *columns.others)]
    if unknown or columns.path not in row:
        problem = f"got unknown {some(unknown)}" if unknown else f"found no {columns.path!r}"
        raise ValueError(
            f"expected the columns {columns.path!r} and perhaps {columns.label!r} in {where}, {problem}; name columns "
            "of other names, and those that are not to be read, in columns"
        )
    file, label = row[columns.path], row.get(columns.label)
    if not isinstance(file, str) or not file.strip():
        raise ValueError(f"expected the path of a picture as {columns.path!r} in {where}, got {file!r}")
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise ValueError(f"expected the id or name of a class as {columns.label!r} in {where}, got {label!r:.60}")
    text = "" if label is None else composed(str(label)).strip()
    return Entry(manifest.parent / file.strip(), text or None)


def check_present(manifest: Path, files: Sequence[Path]) -> None:
    """Refuses a manifest of files that are not there.

    Raises:
        ValueError: In one sentence.
    """
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise ValueError(
            f"expected the files of the manifest {manifest}, {len(missing)} of {len(files)} are missing: "
            f"{some(missing, 3)}; their paths are relative to its folder"
        )
