"""Averages of hierarchical profiles, recomputed from their records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from hrvlm.certificates.kinds.labelled import mean, without_labels
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.scalars import radii_of
from hrvlm.rows.measures import Measure, Measured, Unit
from hrvlm.rows.record import is_right

_SETTINGS = (
    "sigma", "noise_space", "alpha", "alpha_share", "num_statements", "label_functions", "functions_chosen", "n0",
    "budget", "split", "level_names", "asked", "seed", "float_mode", "threshold", "votes", "vote_error", "precision",
)  # fmt: skip


def summarise_profiles(records: Iterable[ProfileRecord], radii: Sequence[float]) -> dict[str, Any]:
    """Aggregates per tree as nested dictionaries, ready for JSON; radii and levels are strings.

    `deepest` holds, per radius, the share of images whose deepest certified ancestor lies at each level ("root": none
    below it), whether or not it is the right one; `levels` per level the share certified at the right node, and the
    mean radius of the right nodes (0 for the others). With fixed radii those are reported, and no mean radius.

    Raises:
        ValueError: if the profiles of a tree were made with different settings.
    """
    groups: dict[str, list[ProfileRecord]] = defaultdict(list)
    for record in records:
        groups[record.tree].append(record)
    return {tree: _of_tree(tree, group, radii) for tree, group in sorted(groups.items())}


def profile_scalars(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What loggers get: abstentions per tree; mean radius and shares certified at radii per level."""
    for tree, found in summary.items():
        yield f"{tree}/abstention_rate", found["abstention_rate"]
        for level, numbers in found["levels"].items():
            yield from ((f"{tree}/{level}/{name}", number) for name, number in radii_of(numbers))


def _of_tree(tree: str, records: list[ProfileRecord], radii: Sequence[float]) -> dict[str, Any]:
    settings = {name: {getattr(record, name) for record in records} for name in _SETTINGS}
    mixed = {name: sorted(values, key=str) for name, values in settings.items() if len(values) > 1}
    if mixed:
        raise ValueError(f"expected one setting for the profiles of tree {tree!r}, got {mixed}: keep runs apart")
    first = records[0]
    shown = first.asked or tuple(radii)
    deepest = {radius: [record.deepest_at(radius) for record in records] for radius in shown}
    depth = len(first.level_names)
    return {
        "images": len(records),
        **without_labels(records),
        "abstention_rate": fmean(record.reason is not None for record in records),
        "deepest": {
            str(radius): {
                **{str(level): fmean(found == level for found in levels) for level in range(depth)},
                "root": fmean(found < 0 for found in levels),
            }
            for radius, levels in deepest.items()
        },
        "levels": {str(level): _of_level(records, level, deepest) for level in range(depth)},
        "mean_samples": fmean(record.n0 + record.n for record in records),
        **{name: _plain(getattr(first, name)) for name in _SETTINGS},
    }


def _of_level(records: list[ProfileRecord], level: int, deepest: dict[float, list[int]]) -> dict[str, Any]:
    right = [is_right(record.chain[level], record.labels[level]) for record in records]
    known = [place for place, record in enumerate(records) if record.labelled]
    certified = {
        str(radius): mean(right[place] and 0 <= levels[place] <= level for place in known)
        for radius, levels in deepest.items()
    }
    numbers: dict[str, Any] = {
        "level_name": records[0].level_names[level],
        "accuracy": mean(right[place] for place in known),
        "certified_accuracy": certified,
    }
    if records[0].budget == "all radii":
        numbers["average_certified_radius"] = mean(
            records[place].radii[level] if right[place] else 0.0 for place in known
        )
    return numbers


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def profile_measures(record: ProfileRecord, radii: Sequence[float]) -> Iterator[Measured]:
    """By which models are compared: per level, whether the right node is certified at radii, and its radius."""
    for level, name in enumerate(record.level_names if record.labelled else ()):
        right = record.chain[level] == record.labels[level]
        values: list[tuple[str, Unit, float]] = [("smoothed accuracy", "right", float(right))]
        for radius in record.asked or radii:
            certified = right and 0 <= record.deepest_at(radius) <= level
            values.append((f"certified at {radius:g}", "right", float(certified)))
        if record.budget == "all radii":
            values.append(("mean certified radius", "number", record.radii[level] if right else 0.0))
        yield from ((Measure(record.tree, level, name, told, unit), value) for told, unit, value in values)
