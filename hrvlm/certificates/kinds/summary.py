"""Averages, recomputed from rows alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from hrvlm.certificates.kinds.invalid import InvalidCount
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.joint.summary import summarise_joint
from hrvlm.certificates.kinds.oracle.record import OracleRecord
from hrvlm.certificates.kinds.oracle.summary import summarise_oracles
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.profile.summary import summarise_profiles
from hrvlm.certificates.kinds.registry import AnyRecord, record_from_row
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord

Summary = dict[str, Any]
_BASIC = ("sigma", "noise_space", "alpha", "alpha_share", "num_statements", "n0", "n", "seed", "float_mode", "split")
_REUSE = ("label_functions", "functions_chosen")
_SETTINGS = (*_BASIC, "method", "threshold", "votes", "vote_error", "goal", "give_up", "precision", *_REUSE)


def summarise(rows: Iterable[Mapping[str, Any] | AnyRecord], radii: Sequence[float]) -> Summary:
    """Aggregates of a run as plain nested dictionaries, ready for JSON.

    Args:
        rows: rows of all kinds, or their records; one per image and statement.
        radii: L2 radii at which to report certified accuracy, in pixel units, at least 0.

    Returns:
        `{"smoothing": {tree: {level: {...}}}, "semantic": {tree: {level: {attribute:
        {scorer: {target_kind: {...}}}}}}, "joint": {tree: {level: {attribute: {scorer: {...}}}}}, "profile": {tree:
        {...}}, "oracle": {oracle: {claim: {...}}}}` with levels and radii as strings;
        where a score was not finite, "invalid" as `InvalidCount.summary` gives it. Shares are over all images of the
        group: an abstention is not a certified image, and its radius counts as 0.

    Raises:
        ValueError: if a row does not fit its kind, two rows make the same statement, or the smoothing rows of a level
            were made with different settings.
    """
    if any(radius < 0 for radius in radii):
        raise ValueError(f"expected radii >= 0, got {list(radii)}")
    smoothing: dict[tuple[str, int], list[SmoothingRecord]] = defaultdict(list)
    semantic: dict[tuple[str, int, str, str, str], list[SemanticRecord]] = defaultdict(list)
    others: dict[type, list[Any]] = defaultdict(list)
    seen, invalid = set(), InvalidCount()
    for row in rows:
        record = record_from_row(row) if isinstance(row, Mapping) else row
        if record.key in seen:
            raise ValueError(f"expected one row per image and statement, got a second one for {record.key}")
        seen.add(record.key)
        invalid.add(record)
        if isinstance(record, SmoothingRecord):
            smoothing[record.tree, record.level].append(record)
        elif not isinstance(record, SemanticRecord):
            others[type(record)].append(record)
        else:
            key = (record.tree, record.level, record.attribute, record.scorer, record.target_kind)
            semantic[key].append(record)
    summary: Summary = {"smoothing": {}, "semantic": {}, "joint": summarise_joint(others[JointRecord])}
    summary["profile"] = summarise_profiles(others[ProfileRecord], radii)
    summary["oracle"] = summarise_oracles(others[OracleRecord], radii)
    for (tree, level), group in sorted(smoothing.items()):
        summary["smoothing"].setdefault(tree, {})[str(level)] = _smoothing(group, radii)
    for (tree, level, attribute, scorer, kind), part in sorted(semantic.items()):
        levels = summary["semantic"].setdefault(tree, {}).setdefault(str(level), {})
        levels.setdefault(attribute, {}).setdefault(scorer, {})[kind] = _semantic(part)
    return summary | invalid.summary()


def _smoothing(records: list[SmoothingRecord], radii: Sequence[float]) -> Summary:
    """Aggregates of one level of one tree."""
    settings = {name: {getattr(record, name) for record in records} for name in _SETTINGS}
    if any(record.n_max is not None for record in records):  # n depends on the image; its limit does not
        settings["n"] = {record.n_max for record in records}
    mixed = {name: sorted(values, key=str) for name, values in settings.items() if len(values) > 1}
    if mixed:
        first = records[0]
        raise ValueError(
            f"expected one setting for tree {first.tree!r} level {first.level}, got {mixed}: keep runs apart"
        )
    certified = [record.radius if record.correct and not record.abstain else -1.0 for record in records]
    return {
        "level_name": records[0].level_name,
        "images": len(records),
        "certified_accuracy": {str(radius): fmean(r >= radius for r in certified) for radius in radii},
        "average_certified_radius": fmean(max(r, 0.0) for r in certified),
        "abstention_rate": fmean(record.abstain for record in records),
        "smoothed_accuracy": fmean(record.correct for record in records),
        "mean_samples": fmean(record.n0 + record.n for record in records),
        **{name: next(iter(values)) for name, values in settings.items()},
    }


def _semantic(records: list[SemanticRecord]) -> Summary:
    """Aggregates of one attribute at one level of one tree."""
    stable: dict[float, list[float]] = defaultdict(list)
    for record in records:
        for delta, share in record.stable:
            stable[delta].append(share)
    return {
        "level_name": records[0].level_name,
        "images": len(records),
        "mean_invariance": fmean(record.invariance for record in records),
        "mean_invariance_of_correct": fmean([r.invariance for r in records if r.correct] or [0.0]),
        "accuracy": fmean(record.correct for record in records),
        "certified_share": fmean(bool(record.intervals) for record in records),
        "reasons": dict(Counter(record.reason for record in records if record.reason is not None)),
        "stable_coverage": {str(delta): fmean(shares) for delta, shares in sorted(stable.items())},
    }
