"""All kinds of certificate by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.rows.jsonl import RecordWriter, read_rows, torn_line
from hrvlm.rows.lines import kind_of, row_of
from hrvlm.rows.record import SCHEMA, Key, Row
from hrvlm.rows.strict import RowError, shown, strict_reader

__all__ = [
    "KINDS",
    "AnyRecord",
    "RecordWriter",
    "done_keys",
    "merge_rows",
    "read_record",
    "read_rows",
    "record_from_row",
    "row_key",
    "torn_line",
]

AnyRecord: TypeAlias = SmoothingRecord | SemanticRecord | JointRecord | ProfileRecord | OracleRecord
KINDS: dict[str, type[AnyRecord]] = {
    kind.kind: kind for kind in (SmoothingRecord, SemanticRecord, JointRecord, ProfileRecord, OracleRecord)
}


def record_from_row(row: Mapping[str, Any]) -> AnyRecord:
    """The record of a row of any kind.

    Raises:
        RowError: if the kind is unknown or the row does not fit it.
    """
    return _kind(row.get("kind")).from_row(row)


def read_record(row: bytes | Mapping[str, Any]) -> AnyRecord:
    """The record of a row of any kind, or of its line of JSON.

    Raises:
        RowError: if the kind is unknown or the row does not fit it.
    """
    if not isinstance(row, bytes):
        return record_from_row(row)
    kind = kind_of(row)
    return record_from_row(row_of(row)) if kind is None else strict_reader(_kind(kind), SCHEMA).of_line(row)


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


def _kind(word: Any) -> type[AnyRecord]:
    kind = KINDS.get(word) if isinstance(word, str) else None
    if kind is None:
        raise RowError(f"expected a row of kind {', '.join(map(repr, KINDS))}, got {shown(word)}", "kind")
    return kind
