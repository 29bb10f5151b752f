"""Derives every certificate again from its row, without the model.

Each kind derives its own claims, from the counts, scores or angles that its rows hold. Rows of an image, and of a run,
are held against each other, and against what the run's settings say. What cannot be derived is reported, never
repaired.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from hrvlm.certificates.kinds.registry import kind_named, kinds, read_record
from hrvlm.certificates.kinds.sound import TellsSound
from hrvlm.certificates.kinds.together import together
from hrvlm.rows.agreement import Group, apart
from hrvlm.rows.images import by_image
from hrvlm.rows.record import Record
from hrvlm.rows.verifying import Fact, Finding, Header, Problem, Rules, Verifier

__all__ = ["CERTIFICATES", "CertificateVerifier", "Problem", "verify_rows"]

CertificateVerifier: TypeAlias = Verifier[Record]


def verify_rows(
    rows: Iterable[Mapping[str, Any]], header: Header | None = None, *, complete: bool = False
) -> list[Problem]:
    """Problems of the rows of a run; empty if every certificate can be derived again.

    Args:
        rows: rows of all kinds, of all ranks together, so that families of statements are seen whole.
        header: what the run says of its rows.
        complete: whether the run is finished, so that all its images must have the same statements.
    """
    verifier = Verifier(CERTIFICATES, header, complete=complete)
    odd, images = by_image(rows)
    problems = list(verifier.odd(odd))
    for image in images:
        problems += verifier.image(image)
    return [*problems, *verifier.finish()]


def _of_record(record: Record) -> Iterator[Finding]:
    """What of one record cannot be derived from it."""
    return kind_named(record.kind).check(record)


def _sound(records: list[Record]) -> Iterator[Record]:
    """Records in which `_of_record` finds nothing, as far as that shows of all at once."""
    for kind in kinds():
        if isinstance(kind, TellsSound) and (own := [record for record in records if record.kind == kind.name]):
            yield from kind.sound(own)


def _of_image(records: list[Record]) -> Iterator[tuple[Record, Finding]]:
    """Images with more statements than alpha was split over, and rows that contradict each other."""
    for kind in kinds():
        family = [record for record in records if record.kind == kind.name]
        if family:
            yield from kind.check_family(family)
    said: dict[tuple[Group, str], Hashable] = {}
    for record in records:
        for group, names, values in kind_named(record.kind).said_of_image(record):
            for name, value in apart(names, values):
                known = said.setdefault((group, name), value)
                if known == value:
                    continue
                yield record, (name, False, f"has {name} {value!r}, where another row of the image says {known!r}")


def _facts(records: list[Record]) -> Iterator[Fact[Record]]:
    """What the records of one image say that those of other images must say as well."""
    leaf = next((record.label for record in records if record.names_leaf), None)
    for record in records:
        for group, name, value in kind_named(record.kind).said_of_run(record, leaf):
            yield record, group, name, value


def _statement(record: Record) -> tuple[str, Hashable]:
    return record.kind, kind_named(record.kind).statement(record)


CERTIFICATES = Rules(
    read=read_record,
    of_record=_of_record,
    of_image=_of_image,
    facts=_facts,
    statement=_statement,
    together=together,
    sound=_sound,
)
"""The rules of certificates of all kinds."""
