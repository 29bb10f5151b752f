"""Certificates for a report: read and verified image by image, and kept without what only verifying needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrvlm.certificates.kinds.verify import CERTIFICATES
from hrvlm.rows.images import Found, ImageRows, by_image
from hrvlm.rows.record import Record
from hrvlm.rows.verifying import Header, Problem, Verifier


@dataclass(frozen=True)
class Certificates:
    """The certificates of a run.

    Attributes:
        records: in the order of their rows, without what only verifying needs.
        problems: how many findings verifying them made.
    """

    records: list[Record]
    problems: int

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
        return cls._read(rows.odd, rows, header)

    @classmethod
    def _read(cls, odd: list[Found], images: Iterable[list[Found]], header: Header | None) -> Certificates:
        records = defaultdict[str, list[Record]](list)
        verifier = Verifier(CERTIFICATES, header)

        def found() -> Iterator[Problem]:
            yield from verifier.odd(odd)
            for image in images:  # in the order of their indices, so that rows of an image alone are left to be sorted
                part: list[Record] = []
                yield from verifier.image(image, part.append)
                for record in sorted(part, key=lambda record: record.key):
                    records[record.kind].append(record.slim())
            yield from verifier.finish()

        problems = 0
        for problem in found():
            if not problem.key:
                raise ValueError(problem.message)
            problems += 1
        return cls([record for kind in sorted(records) for record in records[kind]], problems)
