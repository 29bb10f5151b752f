"""Certificates for a report: read and verified image by image, and kept without what only verifying needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from hrvlm.certificates.kinds.verify import CERTIFICATES
from hrvlm.evaluation.progress import followed
from hrvlm.rows.images import Found, ImageRows, by_image
from hrvlm.rows.record import Record, statement
from hrvlm.rows.table import RecordTable
from hrvlm.rows.verifying import Header, Verifier


@dataclass(frozen=True)
class Certificates:
    """The certificates of a run.

    Attributes:
        by_kind: records of each kind in the order of their rows, without what only verifying needs.
        problems: how many findings verifying them made.
    """

    by_kind: Mapping[str, Sequence[Record]]
    problems: int

    def __len__(self) -> int:
        return sum(map(len, self.by_kind.values()))

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(self.by_kind.values())

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]], header: Header | None = None) -> Certificates:
        """Of rows in memory.

        Raises:
            ValueError: if one of them is no certificate.
        """
        return cls._read(*by_image(rows), header)

    @classmethod
    def of_files(cls, paths: Iterable[Path], header: Header | None = None) -> Certificates:
        """Of the files of a run.

        Raises:
            ValueError: if one of their rows is no certificate.
        """
        rows = ImageRows(paths)
        return cls._read(rows.odd, followed(rows, "reading images", len(rows.indices)), header)

    @classmethod
    def _read(cls, odd: list[Found], images: Iterable[list[Found]], header: Header | None) -> Certificates:
        records, tables = defaultdict[str, list[Record]](list), defaultdict[str, list[RecordTable[Record]]](list)
        verifier = Verifier(CERTIFICATES, header)

        def collect(found: Record | RecordTable[Record]) -> None:
            if isinstance(found, RecordTable):
                tables[found.examples[0].kind].append(found)
            else:
                records[found.kind].append(found.slim())

        problems = 0
        for problem in chain(verifier.odd(odd), verifier.images(images, collect), verifier.finish()):
            if not problem.key:
                raise ValueError(problem.message)
            problems += 1
        kinds = sorted({*records, *tables})
        return cls({kind: _in_order(records[kind], tables[kind]) for kind in kinds}, problems)


def _in_order(records: list[Record], tables: Sequence[RecordTable[Record]]) -> Sequence[Record]:
    """Records by image and statement; a table where some are in tables."""
    if not tables:
        return sorted(records, key=lambda record: record.key)
    more = [RecordTable.of(records, tuple(tables[0].columns))] if records else []
    return RecordTable.joined([*tables, *more]).in_order(statement)
