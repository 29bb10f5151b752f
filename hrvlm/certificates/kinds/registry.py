"""All kinds of certificate by name: a kind is added by its line here, and found by every command.

Kinds are imported when they are first asked for, and without models: checking and telling rows needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from hrvlm.certificates.kinds.interface import Kind
from hrvlm.rows.jsonl import RecordWriter, read_rows, torn_line
from hrvlm.rows.lines import kind_of, row_of
from hrvlm.rows.record import SCHEMA, Key, Record, Row
from hrvlm.rows.strict import RowError, shown, strict_reader

__all__ = [
    "REGISTRY",
    "RecordWriter",
    "done_keys",
    "kind_named",
    "kinds",
    "merge_rows",
    "read_record",
    "read_rows",
    "record_at",
    "record_from_row",
    "record_key",
    "row_key",
    "torn_line",
]

REGISTRY: dict[str, str] = {
    "smoothing": "hrvlm.certificates.kinds.smoothing.kind:KIND",
    "semantic": "hrvlm.certificates.kinds.semantic.kind:KIND",
    "joint": "hrvlm.certificates.kinds.joint.kind:KIND",
    "profile": "hrvlm.certificates.kinds.profile.kind:KIND",
    "oracle": "hrvlm.certificates.kinds.oracle.kind:KIND",
}
"""Where each kind is defined, "module:object", in the order of summaries and reports."""


def kind_named(name: str) -> Kind[Any]:
    """The kind of a name.

    Raises:
        KeyError: if there is none.
    """
    return _load(REGISTRY[name])


def kinds() -> list[Kind[Any]]:
    """All kinds, in the order of summaries and reports."""
    return [kind_named(name) for name in REGISTRY]


@cache
def _load(place: str) -> Kind[Any]:
    module, _, name = place.partition(":")
    found: Kind[Any] = getattr(import_module(module), name)
    return found


def record_from_row(row: Mapping[str, Any]) -> Record:
    """The record of a row of any kind.

    Raises:
        RowError: if the kind is unknown or the row does not fit it.
    """
    return _record(row.get("kind")).from_row(row)


def read_record(row: bytes | Mapping[str, Any]) -> Record:
    """The record of a row of any kind, or of its line of JSON.

    Raises:
        RowError: if the kind is unknown or the row does not fit it.
    """
    if not isinstance(row, bytes):
        return record_from_row(row)
    kind = kind_of(row)
    return record_from_row(row_of(row)) if kind is None else strict_reader(_record(kind), SCHEMA).of_line(row)


def record_at(line: bytes, where: str) -> Record:
    """The record of a line, see `read_record`; the error names where it is."""
    try:
        return read_record(line)
    except RowError as error:
        raise RowError(f"{where}: {error}", error.field) from error


def record_key(record: Record) -> Key:
    """What a record states, see `Record.key`."""
    return record.key


def _record(word: Any) -> type[Record]:
    if not isinstance(word, str) or word not in REGISTRY:
        raise RowError(f"expected a row of kind {', '.join(map(repr, REGISTRY))}, got {shown(word)}", "kind")
    return kind_named(word).record


def merge_rows(paths: Iterable[str | Path]) -> list[Row]:
    """Rows of the files of all ranks, ordered by kind, dataset index and statement.

    Raises:
        ValueError: if two rows make the same statement about the same image.
    """
    found: dict[Key, Row] = {}
    for path in paths:
        for row in read_rows(path):
            key = row_key(row)
            if key in found:
                raise ValueError(f"expected one row per image and statement, got a second one for {key} in {path}")
            found[key] = row
    return [found[key] for key in sorted(found)]


def done_keys(rows: Iterable[Mapping[str, Any]]) -> set[Key]:
    """Keys of the statements that need not be certified again: (kind, index, tree, level[, attribute, target kind])."""
    return {row_key(row) for row in rows}


def row_key(row: Mapping[str, Any]) -> Key:
    """Key of a row; see `Record.key`."""
    return record_from_row(row).key
