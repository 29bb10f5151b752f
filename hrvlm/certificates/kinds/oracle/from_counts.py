"""The rows of an oracle's labels: composite and semantic, from counts, with a rate or an audit.

Pure statistics: neither the model nor the oracle is needed, so an oracle can be audited long after the model ran.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hrvlm.certificates.kinds.oracle.claim import claim_of, reason_of
from hrvlm.certificates.kinds.oracle.errors import OracleError
from hrvlm.certificates.kinds.oracle.record import ANSWER_LENGTH, UNPARSEABLE, OracleRecord, PromptOf

_KEPT = (
    "index", "label", "tree", "level", "level_name", "prediction", "sigma", "noise_space", "alpha", "alpha_share",
    "num_statements", "n0", "n", "selection_count", "count", "seed", "float_mode", "split", "method", "threshold",
    "precision", "label_functions", "functions_chosen",
)  # fmt: skip
_NO_ERROR: dict[str, Any] = dict.fromkeys(
    ("error_model", "rate", "errors", "trials", "rate_upper", "scope", "gamma", "assumed")
)


@dataclass(frozen=True, kw_only=True)
class OracleTask:
    """What was asked of which model, and which oracle labelled its answers.

    Attributes:
        oracle: name of the oracle.
        classes: names of its classes, the last of which is "unparseable".
        generator: name of the model.
        prompt: what it was asked.
        decoding: max_new_tokens, temperature, top_k and top_p.
        prompt_of: whether all images of the "run" have this prompt, or it is the "image"'s own.

    Raises:
        ValueError: if the classes do not end with "unparseable", or decoding lacks a setting or has an unknown one.
    """

    oracle: str
    classes: Sequence[str]
    generator: str
    prompt: str
    decoding: Mapping[str, Any]
    prompt_of: PromptOf = "run"

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(set(self.classes)) != len(self.classes) or self.classes[-1:] != (UNPARSEABLE,):
            raise ValueError(f"expected distinct classes, the last one {UNPARSEABLE!r}, got {list(self.classes)}")
        known = {"max_new_tokens", "temperature", "top_k", "top_p"}
        if set(self.decoding) != known:
            raise ValueError(f"expected decoding with {sorted(known)}, got {sorted(self.decoding)}")


def oracle_records(
    record: Any,
    task: OracleTask,
    *,
    unparseable: int,
    error: OracleError | None = None,
    answer: str | None = None,
    anchor: str | None = None,
) -> list[OracleRecord]:
    """The composite row and, with an oracle error, the semantic row of one smoothing record about an oracle's labels.

    Both are derived anew from its counts, so that they hold TOGETHER with probability at least 1 - alpha: both spend
    the same share on the counts, and what the calibration of a rate takes is missing from the composite row too.

    Args:
        record: counts of the oracle's labels, a `Counted` or whatever has its fields, such as a smoothing record; its
            classes are those of the task, its statements are oracles.
        task: model, prompt, decoding and oracle.
        unparseable: counted samples with the last class, and those with no valid label at all.
        error: of the oracle, fixed before the samples were seen; None for the composite row alone.
        answer: an example, cut to 200 characters.
        anchor: what an equivalence oracle compares with, fixed before the counted samples.

    Raises:
        ValueError: if the record was made with two bounds, or does not fit the task.
    """
    if not -1 <= record.prediction < len(task.classes):
        raise ValueError(f"expected a prediction among {len(task.classes)} classes, got {record.prediction}")
    most = record.n if record.prediction == len(task.classes) - 1 else record.n - record.count
    if not record.invalid <= unparseable <= most:
        raise ValueError(f"expected unparseable between {record.invalid} and {most}, got {unparseable}")
    composite = OracleRecord(
        **{name: getattr(record, name) for name in _KEPT},
        correct=0 <= record.prediction == record.label,
        oracle=task.oracle,
        num_classes=len(task.classes),
        class_name=task.classes[record.prediction] if record.prediction >= 0 else None,
        claim="composite",
        generator=task.generator,
        prompt=task.prompt,
        prompt_of=task.prompt_of,
        **task.decoding,
        anchor=anchor,
        answer=None if answer is None else answer[:ANSWER_LENGTH],
        alpha_calibration=0.0,
        unparseable=unparseable,
        lower_oracle=0.0,
        **_NO_ERROR,
        reason=None,
        lower=0.0,
        radius=0.0,
        abstain=True,
    )
    return corrected_records(composite, error)


def corrected_records(record: OracleRecord, error: OracleError | None) -> list[OracleRecord]:
    """The rows of a composite row's counts under an oracle error, without the model; they replace that row.

    The composite row comes out anew, with the share of alpha that the calibration leaves; see `oracle_records`.

    Raises:
        ValueError: if the row is not composite.
    """
    if record.claim != "composite":
        raise ValueError(f"expected a composite row, got a {record.claim} one of image {record.index}")
    total = record.alpha_share + record.alpha_calibration
    share, calibration = (total, 0.0) if error is None else error.shares(total)
    shared = replace(record, alpha_share=share, alpha_calibration=calibration)
    return [_claimed(shared, None)] + ([] if error is None else [_claimed(shared, error)])


def audited_records(
    record: OracleRecord, *, wrong: int, labelled: int, calibration_share: float = 0.5
) -> list[OracleRecord]:
    """The composite and the semantic row of an image whose outputs were audited, from its composite row alone.

    Args:
        record: composite row of the image.
        wrong: labelled outputs whose ideal label is not the row's class.
        labelled: outputs of this image, under its noise and decoding, that the oracle gave the row's class and that
            were labelled; chosen among them independently of their ideal labels. Best fixed before the outcome.
        calibration_share: part of alpha for the audit.

    Raises:
        ValueError: if the row is not composite or a number lies outside its range.
    """
    error = OracleError(model="audit", errors=wrong, trials=labelled, calibration_share=calibration_share)
    return corrected_records(record, error)


def _claimed(record: OracleRecord, error: OracleError | None) -> OracleRecord:
    """A row with the claim that follows from its counts."""
    found = claim_of(record, error)
    abstain = not found.radius > 0
    told = _NO_ERROR if error is None else {
        "error_model": error.model, "rate": error.rate, "errors": error.errors, "trials": error.trials,
        "rate_upper": found.rate_upper, "scope": error.scope, "gamma": error.gamma, "assumed": error.assumed,
    }  # fmt: skip
    return replace(
        record,
        claim="composite" if error is None else "semantic",
        **told,
        lower_oracle=found.lower_oracle,
        lower=found.lower,
        radius=found.radius,
        abstain=abstain,
        reason=reason_of(record, error, found) if abstain else None,
    )
