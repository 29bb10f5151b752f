"""Derives every certificate again from its row, without the model.

A smoothing row is recomputed from its counts, alpha, sigma and method; a semantic row from the scores that it holds.
What cannot be derived is reported, never repaired.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hrvlm.certificates.claims import FLOAT_MODES, SPLITS, decide, derive
from hrvlm.certificates.joint_records import JointRecord
from hrvlm.certificates.joint_verify import joint_families_findings, joint_findings
from hrvlm.certificates.oracle_checks import oracle_family_findings, oracle_findings
from hrvlm.certificates.oracle_records import OracleRecord
from hrvlm.certificates.profile_checks import profile_faults
from hrvlm.certificates.profile_records import ProfileRecord
from hrvlm.certificates.radii import operational_threshold
from hrvlm.certificates.records import AnyRecord, Key, Record, SmoothingRecord, record_from_row
from hrvlm.certificates.semantic_verify import semantic_findings

_TOLERANCE = 1e-9  # relative; far above the rounding of one bound, far below anything a reader would care about


@dataclass(frozen=True)
class Problem:
    """A row that does not follow from what it holds.

    Attributes:
        key: statement of the row, () for a row that cannot be read.
        field: the field at fault.
        claims_too_much: whether the row claims more than can be derived, rather than something inconsistent or less.
        message: one sentence.
    """

    key: Key
    field: str
    claims_too_much: bool
    message: str


def verify_rows(rows: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Problems of the rows of a run; empty if every certificate can be derived again.

    Args:
        rows: rows of both kinds, of all ranks together, so that families of statements are seen whole.
    """
    problems: list[Problem] = []
    records: list[AnyRecord] = []
    for row in rows:
        try:
            records.append(record_from_row(row))
        except (ValueError, TypeError) as error:
            problems.append(Problem((), "row", False, str(error)))
    for record in records:
        try:
            problems.extend(_of_record(record))
        except (ValueError, TypeError) as error:
            problems.append(Problem(record.key, "row", False, f"a value lies outside its range: {error}"))
    return problems + list(_families(records))


def _of_record(record: AnyRecord) -> Iterator[Problem]:
    """Problems of one record."""
    if isinstance(record, JointRecord):
        yield from _common(record)
        yield from (Problem(record.key, *finding) for finding in joint_findings(record))
    elif isinstance(record, ProfileRecord):
        yield from (Problem(record.key, *fault) for fault in profile_faults(record))
    elif isinstance(record, OracleRecord):
        yield from (Problem(record.key, *finding) for finding in oracle_findings(record))
    elif isinstance(record, SmoothingRecord):
        yield from _smoothing(record)
    else:
        yield from _common(record)
        yield from (Problem(record.key, *finding) for finding in semantic_findings(record))


def _families(records: list[AnyRecord]) -> Iterator[Problem]:
    """Repeated statements, and images with more statements than alpha was split over."""
    for key, count in Counter(record.key for record in records).items():
        if count > 1:
            yield Problem(key, "row", False, f"expected one row for this statement, got {count}")
    for joint, finding in joint_families_findings(record for record in records if isinstance(record, JointRecord)):
        yield Problem(joint.key, *finding)
    for oracle, finding in oracle_family_findings(record for record in records if isinstance(record, OracleRecord)):
        yield Problem(oracle.key, *finding)
    sharing = [record for record in records if isinstance(record, SmoothingRecord | ProfileRecord)]
    statements = Counter((r.kind, r.index) for r in {record.key: record for record in sharing}.values())
    for record in sharing:
        found = statements[record.kind, record.index]
        if found > record.num_statements:
            text = f"alpha was split over {record.num_statements} statements, got {found} rows"
            yield Problem(record.key, "num_statements", True, text)


def _common(record: Record) -> Iterator[Problem]:
    if record.correct != (record.prediction == record.label):
        text = f"prediction {record.prediction} and label {record.label} contradict correct={record.correct}"
        yield Problem(record.key, "correct", record.correct, text)


def _compare(record: Record, name: str, derived: float) -> Iterator[Problem]:
    """Problem if a stated number differs from the derived one."""
    stated = float(getattr(record, name))
    if not _equal(stated, derived):
        too_much = not stated < derived
        text = f"states {name} {stated!r}, {'more' if too_much else 'less'} than the derived {derived!r}"
        yield Problem(record.key, name, too_much, text)


def _equal(stated: float, derived: float) -> bool:
    return math.isclose(stated, derived, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _smoothing(record: SmoothingRecord) -> Iterator[Problem]:
    """Problems of one smoothing record."""
    yield from _common(record)
    together = record.num_statements * record.label_functions
    if not 0 < record.alpha < 1 or record.alpha_share * together > record.alpha * (1 + _TOLERANCE):
        text = f"{together} statements at {record.alpha_share:g} each exceed alpha {record.alpha:g}"
        yield Problem(record.key, "alpha_share", True, text)
    elif not _equal(record.alpha_share * together, record.alpha):
        text = f"{together} statements at {record.alpha_share:g} each do not make alpha {record.alpha:g}"
        yield Problem(record.key, "alpha", False, text)
    counts = (record.count, record.invalid, record.selection_count, record.n - record.count - record.invalid)
    if min(*counts, record.invalid_selection) < 0 or record.selection_count + record.invalid_selection > record.n0:
        yield Problem(record.key, "count", True, f"counts do not fit n0={record.n0}, n={record.n}")
        return
    yield from _procedure(record)
    claim = derive(
        record.method,
        record.split,
        count=record.count,
        runner_up=record.runner_up,
        n=record.n,
        alpha=record.alpha_share,
        sigma=record.sigma,
        threshold=record.threshold,
    )
    yield from _compare(record, "lower", claim.lower)
    yield from _compare(record, "radius", claim.radius)
    if record.upper is not None and claim.upper is not None and not _equal(record.upper, claim.upper):
        too_much = not record.upper > claim.upper
        yield Problem(record.key, "upper", too_much, f"states upper {record.upper!r} instead of {claim.upper!r}")
    certain = record.prediction >= 0 and claim.radius > 0
    if record.abstain == certain or record.abstain != (record.reason is not None):
        text = f"abstain={record.abstain} with reason {record.reason!r} does not fit the radius {claim.radius!r}"
        yield Problem(record.key, "abstain", not record.abstain, text)


def _procedure(record: SmoothingRecord) -> Iterator[Problem]:
    """Problems of what a smoothing record says about how it was made."""
    chosen = ("before", "after")
    for name, known in (("float_mode", FLOAT_MODES.values()), ("split", SPLITS), ("functions_chosen", chosen)):
        if getattr(record, name) not in known:
            text = f"expected {name} one of {list(known)}, got {getattr(record, name)!r}"
            yield Problem(record.key, name, False, text)
    if (record.upper is None) != (record.runner_up is None):
        yield Problem(record.key, "upper", False, "upper and runner_up belong together")
    if record.runner_up is not None and not record.invalid <= record.runner_up <= record.n - record.count:
        yield Problem(record.key, "runner_up", True, f"runner_up {record.runner_up} does not fit the counts")
    if (record.votes is None) != (record.vote_error is None):
        yield Problem(record.key, "votes", False, "votes and vote_error belong together")
    elif record.votes is not None and record.vote_error is not None:
        needed = operational_threshold(record.votes, record.vote_error)
        if not _equal(record.threshold, needed):
            text = f"threshold {record.threshold!r} is not {needed!r}, which {record.votes} votes need"
            yield Problem(record.key, "threshold", not record.threshold > needed, text)
    if record.n_max is not None and record.method != "anytime" and record.n not in (0, record.n_max):
        text = f"n was chosen by looking at samples ({record.n} of {record.n_max}), which {record.method!r} excludes"
        yield Problem(record.key, "method", True, text)
    yield from _decision(record)


def _decision(record: SmoothingRecord) -> Iterator[Problem]:
    """Problems of a decision whether the radius is at least the goal."""
    if record.decision is None:
        return
    derived: str = "undecided"
    if record.n > 0 and record.goal is not None and record.give_up is not None and record.method == "anytime":
        derived = decide(
            record.count,
            record.n,
            alpha=record.alpha_share,
            give_up=record.give_up,
            goal=record.goal,
            sigma=record.sigma,
            threshold=record.threshold,
        )
    if record.decision != derived and not (record.n == 0 and record.decision == "given up"):
        text = f"states the decision {record.decision!r}, where the counts say {derived!r}"
        yield Problem(record.key, "decision", record.decision == "certified", text)
