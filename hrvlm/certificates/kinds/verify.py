"""Derives every certificate again from its row, without the model.

A smoothing row is recomputed from its counts, alpha, sigma and method; a semantic row from the scores that it holds.
Rows of an image, and of a run, are held against each other, and against what the run's settings say. What cannot be
derived is reported, never repaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from hrvlm.certificates.kinds.checks import choice_findings, noise_findings
from hrvlm.certificates.kinds.facts import certificate_facts, image_findings
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.joint.verify import joint_families_findings, joint_findings
from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.certificates.kinds.oracle.verify import oracle_family_findings, oracle_findings
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.profile.verify import profile_faults
from hrvlm.certificates.kinds.registry import AnyRecord, read_record
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.semantic.verify import semantic_findings
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.kinds.smoothing.verify import smoothing_findings
from hrvlm.rows.images import by_image
from hrvlm.rows.record import Key
from hrvlm.rows.verifying import Finding, Header, Problem, Rules, Verifier

__all__ = ["CERTIFICATES", "CertificateVerifier", "Problem", "verify_rows"]

CertificateVerifier: TypeAlias = Verifier[AnyRecord]


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


def _of_record(record: AnyRecord) -> Iterator[Finding]:
    """What of one record cannot be derived from it."""
    if not isinstance(record, OracleRecord | ProfileRecord) and record.correct != (record.prediction == record.label):
        text = f"prediction {record.prediction} and label {record.label} contradict correct={record.correct}"
        yield "correct", record.correct, text
    if not isinstance(record, SemanticRecord):
        yield from noise_findings(record.float_mode, record.noise_space)
    if isinstance(record, SmoothingRecord | OracleRecord):
        yield from choice_findings(record)
    if isinstance(record, SmoothingRecord):
        yield from smoothing_findings(record)
    elif isinstance(record, JointRecord):
        yield from joint_findings(record)
    elif isinstance(record, ProfileRecord):
        yield from profile_faults(record)
    elif isinstance(record, OracleRecord):
        yield from oracle_findings(record)
    else:
        yield from semantic_findings(record)


def _of_image(records: list[AnyRecord]) -> Iterator[tuple[AnyRecord, Finding]]:
    """Images with more statements than alpha was split over, and rows that contradict each other."""
    yield from joint_families_findings(record for record in records if isinstance(record, JointRecord))
    yield from oracle_family_findings(record for record in records if isinstance(record, OracleRecord))
    for kind in (SmoothingRecord, ProfileRecord):
        sharing = [record for record in records if isinstance(record, kind)]
        for record in sharing:
            if len(sharing) > record.num_statements:
                text = f"alpha was split over {record.num_statements} statements, got {len(sharing)} rows"
                yield record, ("num_statements", True, text)
    yield from image_findings(records)


def _statement(record: AnyRecord) -> tuple[str, Key]:
    """An ideal oracle's label may be certified of some images alone."""
    kind, _, *stated = record.key
    return str(kind), tuple(stated[:-1] if isinstance(record, OracleRecord) else stated)


CERTIFICATES = Rules(
    read=read_record, of_record=_of_record, of_image=_of_image, facts=certificate_facts, statement=_statement
)
"""The rules of certificates of all kinds."""
