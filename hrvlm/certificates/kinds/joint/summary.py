"""Averages of joint certificates, recomputed from rows alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import fmean
from typing import Any

from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.labelled import labelled, mean, without_labels
from hrvlm.certificates.kinds.scalars import levels_of
from hrvlm.rows.measures import Measured, Unit, measured

_SETTINGS = (
    "move", "steps", "sigma", "noise_space", "alpha", "alpha_share", "num_statements", "n0", "n", "seed", "float_mode",
    "split", "threshold", "votes", "vote_error", "precision", "label_functions", "functions_chosen",
)  # fmt: skip
_Claims = list[tuple[JointRecord, float]]


def summarise_joint(records: Iterable[JointRecord]) -> dict[str, Any]:
    """Aggregates per tree, level, attribute and scorer, ready for JSON.

    Shares and means are over all images of a group; what is not certified, or of a wrong class, counts as 0.

    Raises:
        ValueError: if the rows of a group were made with different settings.
    """
    groups: dict[tuple[str, int, str, str], list[JointRecord]] = defaultdict(list)
    for record in records:
        groups[record.tree, record.level, record.attribute, record.scorer].append(record)
    summary: dict[str, Any] = {}
    for (tree, level, attribute, scorer), group in sorted(groups.items()):
        attributes = summary.setdefault(tree, {}).setdefault(str(level), {})
        attributes.setdefault(attribute, {})[scorer] = _group(group)
    return summary


def joint_scalars(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What loggers get: mean extents at radii, and mean radii at extents."""
    parts = (("at_radii", "mean_extent"), ("at_extents", "mean_radius"))
    for start, attributes in levels_of(summary):
        for attribute, scorers in attributes.items():
            for scorer, numbers in scorers.items():
                for part, name in parts:
                    for asked, found in numbers[part].items():
                        if found[name] is not None:
                            yield f"{start}/{attribute}/{scorer}/{name}_at_{asked}", found[name]


def _group(records: list[JointRecord]) -> dict[str, Any]:
    settings = {name: {getattr(record, name) for record in records} for name in _SETTINGS}
    mixed = {name: sorted(values, key=str) for name, values in settings.items() if len(values) > 1}
    if mixed:
        first = records[0]
        raise ValueError(
            f"expected one setting for joint rows of tree {first.tree!r} level {first.level}, got {mixed}: "
            "keep runs apart"
        )
    at_radii: dict[float, _Claims] = defaultdict(list)
    at_extents: dict[float, _Claims] = defaultdict(list)
    for record in records:
        for radius, extent in record.at_radii:
            at_radii[radius].append((record, -1.0 if extent is None else extent))
        for asked, found in record.at_extents:
            at_extents[asked].append((record, found if found > 0 else -1.0))
    return {
        "level_name": records[0].level_name,
        "images": len(records),
        **without_labels(records),
        "abstention_rate": fmean(record.abstain for record in records),
        "smoothed_accuracy": mean(record.correct for record in labelled(records)),
        "at_radii": {str(radius): _claims(claims, "mean_extent") for radius, claims in sorted(at_radii.items())},
        "at_extents": {str(extent): _claims(claims, "mean_radius") for extent, claims in sorted(at_extents.items())},
        "reasons": dict(Counter(record.reason for record in records if record.reason is not None)),
        **{name: next(iter(values)) for name, values in settings.items()},
    }


def _claims(claims: _Claims, name: str) -> dict[str, Any]:
    """Share of images certified with the right class, and their mean claim, others counting as 0.

    Where images have no label, also the share and mean whatever the class.
    """
    right = [value if record.correct else -1.0 for record, value in claims if record.labelled]
    found = {"certified_accuracy": mean(value >= 0 for value in right), name: mean(max(v, 0.0) for v in right)}
    share, whatever = fmean(value >= 0 for _, value in claims), fmean(max(value, 0.0) for _, value in claims)
    more = {"certified_share": share, f"{name}_whatever_class": whatever}
    return found if len(right) == len(claims) else found | more


def joint_measures(record: JointRecord) -> list[Measured]:
    """By which models are compared: certified extents at radii and radii at extents, of the right class, else 0."""
    if not record.labelled:
        return []
    change, right = f"{record.attribute}, {record.scorer}", float(record.correct)
    values: list[tuple[str, Unit, float]] = [(f"smoothed accuracy, {record.scorer}", "right", right)]
    for radius, extent in record.at_radii:
        values.append((f"certified at radius {radius:g}, {change}", "right", right * (extent is not None)))
        values.append((f"mean extent at radius {radius:g}, {change}", "number", right * (extent or 0.0)))
    for asked, found in record.at_extents:
        values.append((f"certified at extent {asked:g}, {change}", "right", right * (found > 0)))
        values.append((f"mean radius at extent {asked:g}, {change}", "number", right * found))
    return measured(record, values)
