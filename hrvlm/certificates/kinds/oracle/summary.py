"""Averages of certificates under oracles, recomputed from their records alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.rows.measures import Measure, Measured, Unit, certified_at

_SETTINGS = (
    "num_classes", "generator", "prompt", "max_new_tokens", "temperature", "top_k", "top_p", "sigma", "noise_space",
    "alpha", "alpha_share", "alpha_calibration", "num_statements", "n0", "seed", "float_mode", "split", "method",
    "threshold", "precision", "label_functions", "functions_chosen", "error_model", "scope", "gamma", "assumed",
)  # fmt: skip


def summarise_oracles(records: Iterable[OracleRecord], radii: Sequence[float]) -> dict[str, Any]:
    """Aggregates as `{oracle: {claim: {...}}}`, ready for JSON; the claims are without and with correction.

    Shares are over all images of a group: an abstention is not a certified image, and its radius counts as 0.
    `certified_share` counts certified images whatever their class, `certified_accuracy` those of the right class.

    Raises:
        ValueError: if the rows of an oracle and claim were made with different settings.
    """
    groups: dict[tuple[str, str], list[OracleRecord]] = defaultdict(list)
    for record in records:
        groups[record.oracle, record.claim].append(record)
    summary: dict[str, Any] = {}
    for (oracle, claim), group in sorted(groups.items()):
        summary.setdefault(oracle, {})[claim] = _group(group, radii)
    return summary


def _group(records: list[OracleRecord], radii: Sequence[float]) -> dict[str, Any]:
    settings = {name: {getattr(record, name) for record in records} for name in _SETTINGS}
    if {record.prompt_of for record in records} == {"image"}:
        settings["prompt"] = {None}  # every image has its own
    mixed = {name: sorted(values, key=str) for name, values in settings.items() if len(values) > 1}
    if mixed:
        first = records[0]
        raise ValueError(
            f"expected one setting for the {first.claim} rows of oracle {first.oracle!r}, got {mixed}: keep runs apart"
        )
    certified = [-1.0 if record.abstain else record.radius for record in records]
    right = [radius if record.correct else -1.0 for record, radius in zip(records, certified, strict=True)]
    drawn = sum(record.n for record in records)
    return {
        "images": len(records),
        "labelled_images": sum(record.label >= 0 for record in records),
        "certified_accuracy": {str(radius): fmean(r >= radius for r in right) for radius in radii},
        "certified_share": {str(radius): fmean(r >= radius for r in certified) for radius in radii},
        "average_certified_radius": fmean(max(r, 0.0) for r in right),
        **_whatever_class(records, certified),
        "abstention_rate": fmean(record.abstain for record in records),
        "smoothed_accuracy": fmean(record.correct for record in records),
        "unparseable_share": sum(record.unparseable for record in records) / drawn if drawn else 0.0,
        "mean_samples": fmean(record.n0 + record.n for record in records),
        "classes": dict(Counter(record.class_name for record in records if record.class_name is not None)),
        "reasons": dict(Counter(record.reason for record in records if record.reason is not None)),
        "rate_upper": max((r.rate_upper for r in records if r.rate_upper is not None), default=None),
        **{name: next(iter(values)) for name, values in settings.items()},
    }


def _whatever_class(records: list[OracleRecord], certified: list[float]) -> dict[str, float]:
    """The mean radius of any class, where some image has no known one."""
    if all(record.label >= 0 for record in records):
        return {}
    return {"average_radius": fmean(max(radius, 0.0) for radius in certified)}


def oracle_measures(record: OracleRecord, radii: Sequence[float]) -> list[Measured]:
    """By which models are compared: certified shares and accuracy, and the mean radius of the right class."""
    radius = -1.0 if record.abstain else record.radius
    values: list[tuple[str, Unit, float]] = list(certified_at(radii, radius, of_right_class=False))
    if record.label >= 0:
        values += [("smoothed accuracy", "right", float(record.correct))]
        values += certified_at(radii, radius if record.correct else -1.0)
    return [(Measure(record.oracle, record.level, record.claim, name, unit), value) for name, unit, value in values]
