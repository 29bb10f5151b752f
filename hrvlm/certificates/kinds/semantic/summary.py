"""Averages of semantic-extent certificates, recomputed from rows alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean
from typing import Any

from hrvlm.certificates.kinds.labelled import labelled, mean, without_labels
from hrvlm.certificates.kinds.scalars import levels_of
from hrvlm.certificates.kinds.semantic.calibrated_stretch import CalibratedClaims
from hrvlm.certificates.kinds.semantic.record import TEXT, SemanticRecord
from hrvlm.rows.measures import Measured, Unit, measured


def summarise_semantic(records: Iterable[SemanticRecord]) -> dict[str, Any]:
    """Aggregates per tree, level, attribute, scorer and kind of target, ready for JSON."""
    groups: dict[tuple[str, int, str, str, str], list[SemanticRecord]] = defaultdict(list)
    for record in records:
        groups[record.tree, record.level, record.attribute, record.scorer, record.target_kind].append(record)
    summary: dict[str, Any] = {}
    for (tree, level, attribute, scorer, kind), part in sorted(groups.items()):
        levels = summary.setdefault(tree, {}).setdefault(str(level), {})
        levels.setdefault(attribute, {}).setdefault(scorer, {})[kind] = _group(part)
    return summary


def _group(records: list[SemanticRecord]) -> dict[str, Any]:
    """Aggregates of one attribute at one level of one tree."""
    known = labelled(records)
    stable: dict[float, list[float]] = defaultdict(list)
    for record in records:
        for delta, share in record.stable:
            stable[delta].append(share)
    return {
        "level_name": records[0].level_name,
        "images": len(records),
        **without_labels(records),
        "mean_invariance": fmean(record.invariance for record in records),
        "mean_invariance_of_correct": fmean([r.invariance for r in known if r.correct] or [0.0]) if known else None,
        "accuracy": mean(record.correct for record in known),
        "certified_share": fmean(bool(record.intervals) for record in records),
        "reasons": dict(Counter(record.reason for record in records if record.reason is not None)),
        **_observed(records),
        **_calibrated(records),
        "stable_coverage": {str(delta): fmean(shares) for delta, shares in sorted(stable.items())},
    }


def _observed(records: list[SemanticRecord]) -> dict[str, Any]:
    """What pictures of the change in order show, where there are any: the discrepancy of Yang et al., ICML 2026."""
    pairs = [(record.reference, record.invariance) for record in records if record.reference is not None]
    if not pairs:
        return {}
    found = {"images": len(pairs), "mean_invariance": fmean(reference for reference, _ in pairs)}
    return {"reference": found | {"mean_discrepancy": fmean(abs(share - invariance) for share, invariance in pairs)}}


def _by_claims(records: Iterable[SemanticRecord]) -> Iterator[tuple[CalibratedClaims, list[tuple[float, ...]]]]:
    """Claims with the shares of all records that state them."""
    found: dict[int, tuple[CalibratedClaims, list[tuple[float, ...]]]] = {}
    for record in records:
        if record.calibrated:
            found.setdefault(id(record.calibrated), (record.calibrated, []))[1].append(record.calibrated_shares)
    yield from found.values()


def _calibrated(records: list[SemanticRecord]) -> dict[str, Any]:
    """Per claims that are right together, rate and form the mean share of the change that is claimed, where any are."""
    shares: dict[tuple[str, float, str], list[float]] = defaultdict(list)
    for claims, of_images in _by_claims(records):
        for claim, some in zip(claims, zip(*of_images, strict=True), strict=True):
            shares[claim.over, claim.epsilon, claim.form] += some
    if not shares:
        return {}
    found: dict[str, Any] = {}
    for (over, epsilon, form), values in sorted(shares.items()):
        numbers = {"images": len(values), "mean_share": fmean(values), "claimed": fmean(v > 0 for v in values)}
        found.setdefault(over, {}).setdefault(str(epsilon), {})[form] = numbers
    return {"calibrated": found}


def semantic_scalars(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What loggers get; a target in words alone goes by its scorer, pictures that show it are told after."""
    for start, attributes in levels_of(summary):
        for attribute, scorers in attributes.items():
            for scorer, kinds in scorers.items():
                for kind, numbers in kinds.items():
                    name = f"{start}/{attribute}/{scorer}" if kind == TEXT else f"{start}/{attribute}/{scorer}/{kind}"
                    yield f"{name}/invariance", numbers["mean_invariance"]
                    for delta, share in numbers["stable_coverage"].items():
                        yield f"{name}/stable_coverage_at_{delta}", share
                    for epsilon, forms in numbers.get("calibrated", {}).get("alone", {}).items():
                        for form, said in forms.items():
                            yield f"{name}/calibrated_share_at_{epsilon}_{form}", said["mean_share"]


def semantic_measures(record: SemanticRecord) -> list[Measured]:
    """By which models are compared: accuracy of the image itself, and shares of the attribute's range."""
    change = record.attribute if record.target_kind == TEXT else f"{record.attribute} ({record.target_kind})"
    values: list[tuple[str, Unit, float]] = []
    if record.labelled:
        values.append((f"accuracy, {record.scorer}", "right", float(record.correct)))
    values.append((f"invariant share, {change}, {record.scorer}", "share", record.invariance))
    for delta, share in record.stable:
        values.append((f"stable share at {delta:g}, {change}, {record.scorer}", "share", share))
    for stretch in record.stretches:
        if stretch.claim.over == "alone":
            rate = f"{stretch.claim.epsilon:g} ({stretch.claim.form})"
            values.append((f"calibrated share at {rate}, {change}, {record.scorer}", "share", stretch.share))
    return measured(record, values)
