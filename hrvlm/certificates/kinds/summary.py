"""Averages, recomputed from rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hrvlm.certificates.kinds.interface import Summary
from hrvlm.certificates.kinds.invalid import InvalidCount
from hrvlm.certificates.kinds.registry import kinds, record_from_row
from hrvlm.certificates.kinds.together import Alike
from hrvlm.rows.record import Record, statement
from hrvlm.rows.table import RecordTable, first_repeated

TOGETHER = 2**14
"""Records that become a table, where those of their kind differ in numbers alone."""


def summarise(rows: Iterable[Mapping[str, Any] | Record], radii: Sequence[float]) -> Summary:
    """Aggregates of a run as plain nested dictionaries, ready for JSON.

    Args:
        rows: rows of all kinds, or their records; one per image and statement.
        radii: L2 radii at which to report certified accuracy, in pixel units, at least 0.

    Returns:
        Per name of a kind what it makes of its rows, such as `{"smoothing": {tree: {level: {...}}}, "semantic": {tree:
        {level: {attribute: {scorer: {target_kind: {...}}}}}}, "profile": {tree: {...}}}`, levels and radii as strings;
        where a score was not finite, "invalid" as `InvalidCount.summary` gives it. Shares are over all images of the
        group: an abstention is not a certified image, and its radius counts as 0.

    Raises:
        ValueError: if a row does not fit its kind, two rows make the same statement, or the rows of a group were made
            with different settings.
    """
    varying = {kind.name: kind.varying for kind in kinds() if isinstance(kind, Alike)}
    tables: dict[str, list[RecordTable[Record]]] = defaultdict(list)
    others: dict[str, Any] = defaultdict(list)
    for row in rows:
        record = (record_from_row(row) if isinstance(row, Mapping) else row).slim()
        found = others[record.kind]
        found.append(record)
        if len(found) == TOGETHER and record.kind in varying:  # few bytes of each from here on
            tables[record.kind].append(RecordTable.of(found, varying[record.kind]))
            found.clear()
    for name, parts in tables.items():
        last = others.pop(name)
        more = [RecordTable.of(last, varying[name])] if last else []
        others[name] = RecordTable.joined([*parts, *more])
    return summarise_kinds(others, radii)


def summarise_kinds(by_kind: Mapping[str, Sequence[Record]], radii: Sequence[float]) -> Summary:
    """As `summarise`, of the records of each kind."""
    if any(radius < 0 for radius in radii):
        raise ValueError(f"expected radii >= 0, got {list(radii)}")
    invalid = InvalidCount()
    for records in by_kind.values():
        _check_keys(records)
        invalid.add_all(records)
    summary: Summary = {kind.name: kind.summarise(by_kind.get(kind.name, ()), radii) for kind in kinds()}
    return summary | invalid.summary()


def _check_keys(records: Sequence[Record]) -> None:
    """Raise ValueError if two records make the same statement."""
    repeated = records.repeated(statement) if isinstance(records, RecordTable) else first_repeated(records)
    if repeated is not None:
        raise ValueError(f"expected one row per image and statement, got a second one for {repeated.key}")


def scalars(summary: Mapping[str, Any], label: str = "certificates") -> dict[str, float]:
    """The numbers of a summary that loggers get, named "LABEL/KIND/TREE/LEVEL/…".

    Args:
        summary: what `summarise` gives.
        label: first part of the names.
    """
    return {
        f"{label}/{kind.name}/{name}": number
        for kind in kinds()
        for name, number in kind.scalars(summary.get(kind.name, {}))
    }
