"""What the rows of an oracle must satisfy, without the model and without the oracle."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

from hrvlm.certificates.kinds.checks import TOLERANCE, alpha_findings
from hrvlm.certificates.kinds.oracle.claim import claim_of
from hrvlm.certificates.kinds.oracle.record import ANSWER_LENGTH, CLAIMS, ORACLE_METHODS, UNPARSEABLE, OracleRecord
from hrvlm.certificates.statistics.claim import FLOAT_MODES, SPLITS
from hrvlm.rows.record import Key
from hrvlm.rows.verifying import Finding

_ERROR_FIELDS = ("error_model", "rate", "errors", "trials", "rate_upper", "scope", "gamma", "assumed")
_SAME_SAMPLES = (
    "label", "prediction", "num_classes", "class_name", "generator", "prompt", "prompt_of", "max_new_tokens",
    "temperature", "top_k", "top_p", "anchor", "sigma", "noise_space", "alpha", "alpha_share", "alpha_calibration",
    "num_statements", "n0", "n", "selection_count", "count", "unparseable", "seed", "float_mode", "split", "method",
    "threshold", "precision", "label_functions", "functions_chosen",
)  # fmt: skip


def oracle_findings(record: OracleRecord) -> Iterator[Finding]:
    """Everything about a row that cannot be derived again.

    Raises:
        ValueError: if a value lies outside its range, or the fields of the oracle's error do not fit each other.
    """
    if record.claim not in CLAIMS:
        yield "claim", True, f"expected the claim one of {list(CLAIMS)}, got {record.claim!r}"
        return
    findings = [*_class(record), *_counts(record), *_form(record), *_error(record), *_alpha(record)]
    yield from findings
    if not findings:
        yield from _claim(record)


def oracle_family_findings(records: Iterable[OracleRecord]) -> Iterator[tuple[OracleRecord, Finding]]:
    """Problems of rows that share noise: too many oracles for alpha, or two claims that are not of the same samples."""
    images: dict[int, set[Key]] = defaultdict(set)
    claims: dict[Key, list[OracleRecord]] = defaultdict(list)
    for record in records:
        images[record.index].add(record.key[:-1])
        claims[record.key[:-1]].append(record)
    for key, group in claims.items():
        found = len(images[group[0].index])
        for record in group:
            if found > record.num_statements:
                text = f"alpha was split over {record.num_statements} oracles, got rows of {found} for {key}"
                yield record, ("num_statements", True, text)
        differing = [name for name in _SAME_SAMPLES if len({getattr(record, name) for record in group}) > 1]
        if differing:
            text = f"the composite and the semantic row are not of the same samples and alpha: {differing} differ"
            yield group[-1], (differing[0], True, text)


def _class(record: OracleRecord) -> Iterator[Finding]:
    if record.correct != (0 <= record.prediction == record.label):
        text = f"prediction {record.prediction} and label {record.label} contradict correct={record.correct}"
        yield "correct", record.correct, text
    if not (record.num_classes >= 1 and -1 <= record.prediction < record.num_classes):
        yield "prediction", True, f"class {record.prediction} of {record.num_classes} does not exist"
    if (record.class_name is None) != (record.prediction < 0):
        yield "class_name", False, f"the name {record.class_name!r} does not fit class {record.prediction}"
    elif (record.class_name == UNPARSEABLE) != (record.prediction == record.num_classes - 1):
        text = f"the last class is {UNPARSEABLE!r} and no other, got {record.class_name!r} for {record.prediction}"
        yield "class_name", True, text


def _counts(record: OracleRecord) -> Iterator[Finding]:
    """A class other than the last one shares no sample with the unparseable answers."""
    others = record.unparseable - record.count
    if record.prediction != record.num_classes - 1:
        others = record.n - record.count - record.unparseable
    if min(record.count, record.unparseable, record.selection_count, others, record.n - record.unparseable) < 0:
        yield "count", True, f"counts do not fit n={record.n}, unparseable={record.unparseable}"
    if record.selection_count > record.n0:
        yield "count", True, f"selection_count {record.selection_count} does not fit n0={record.n0}"
    if record.prediction < 0 and record.count > 0:
        yield "count", True, "samples were counted for a class that does not exist"


def _form(record: OracleRecord) -> Iterator[Finding]:
    chosen = ("before", "after")
    for name, known in (
        ("float_mode", FLOAT_MODES.values()),
        ("split", SPLITS),
        ("method", ORACLE_METHODS),
        ("functions_chosen", chosen),
    ):
        if getattr(record, name) not in known:
            yield name, False, f"expected {name} one of {list(known)}, got {getattr(record, name)!r}"
    if record.answer is not None and len(record.answer) > ANSWER_LENGTH:
        yield "answer", False, f"an answer of {len(record.answer)} characters was not cut to {ANSWER_LENGTH}"
    if record.temperature < 0:
        yield "temperature", False, f"expected a temperature >= 0, got {record.temperature}"


def _error(record: OracleRecord) -> Iterator[Finding]:
    """The oracle's error belongs to the semantic claim alone, and its words follow from its numbers."""
    if record.claim == "composite":
        told = [name for name in _ERROR_FIELDS if getattr(record, name) is not None]
        if told:
            yield "claim", True, f"a composite row tells of an oracle's error, which it is not about: {told}"
        return
    error = record.error
    assert error is not None, "a semantic row has an error"
    if record.assumed != error.assumed:
        text = f"the stated assumption {record.assumed!r} is not that of {record.error_model!r} at {record.scope!r}"
        yield "assumed", True, text
    if (record.alpha_calibration > 0) != error.estimated:
        text = f"alpha_calibration {record.alpha_calibration!r} does not fit a rate that is "
        yield "alpha_calibration", True, text + ("estimated" if error.estimated else "given")


def _alpha(record: OracleRecord) -> Iterator[Finding]:
    together = record.num_statements * record.label_functions
    share = record.alpha_share + record.alpha_calibration
    if together < 1 or not 0 < record.alpha_share < 1 or record.alpha_calibration < 0:
        yield (
            "alpha_share",
            True,
            f"the parts {record.alpha_share!r} and {record.alpha_calibration!r} are none of alpha",
        )
        return
    found = list(alpha_findings(record.alpha, share, together, "oracles"))
    if not found and not math.isclose(share * together, record.alpha, rel_tol=TOLERANCE):
        found = [("alpha", False, f"{together} oracles at {share:g} each do not make alpha {record.alpha:g}")]
    yield from found


def _claim(record: OracleRecord) -> Iterator[Finding]:
    """What the counts and the oracle's error give."""
    derived = claim_of(record, record.error)
    for name, number in (("lower_oracle", derived.lower_oracle), ("lower", derived.lower), ("radius", derived.radius)):
        stated = float(getattr(record, name))
        if not math.isclose(stated, number, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            more = not stated < number
            text = f"states {name} {stated!r}, {'more' if more else 'less'} than the derived {number!r}"
            yield name, more, text
    if record.rate_upper is not None and derived.rate_upper is not None:
        if not math.isclose(record.rate_upper, derived.rate_upper, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            less = not record.rate_upper > derived.rate_upper
            yield "rate_upper", less, f"states rate_upper {record.rate_upper!r} instead of {derived.rate_upper!r}"
    elif record.rate_upper != derived.rate_upper:
        yield "rate_upper", True, f"states rate_upper {record.rate_upper!r} instead of {derived.rate_upper!r}"
    if record.abstain == (derived.radius > 0) or record.abstain != (record.reason is not None):
        text = f"abstain={record.abstain} with reason {record.reason!r} does not fit the radius {derived.radius!r}"
        yield "abstain", not record.abstain, text
