"""Certificates of all kinds, as each kind tells its own; in the order of the registry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hrvlm.certificates.kinds.registry import kinds
from hrvlm.certificates.kinds.report import KindReport, report_of
from hrvlm.rows.record import Record

if TYPE_CHECKING:
    from rich.table import Table


def reports_of(records: Iterable[Record]) -> Iterator[tuple[str, KindReport[Any], Sequence[Record]]]:
    """Name, report and records of every kind that has records."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        found[record.kind].append(record)
    return reports_of_kinds(found)


def reports_of_kinds(
    by_kind: Mapping[str, Sequence[Record]],
) -> Iterator[tuple[str, KindReport[Any], Sequence[Record]]]:
    """As `reports_of`, of the records of each kind."""
    for kind in kinds():
        if by_kind.get(kind.name):
            yield kind.name, report_of(kind), by_kind[kind.name]


def guarantees(records: Iterable[Record]) -> list[tuple[str, list[str]]]:
    """Headings with sentences on what the records guarantee, one entry per kind."""
    return [(report.heading, report.guarantee(group)) for _, report, group in reports_of(records)]


def certificate_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Tables of a summary, see `hrvlm.certificates.summarise`: one per kind that it holds numbers of."""
    return [report_of(kind).table(summary[kind.name]) for kind in kinds() if summary.get(kind.name)]
