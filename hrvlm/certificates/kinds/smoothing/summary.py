"""Averages of smoothing certificates, recomputed from rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from hrvlm.certificates.kinds.labelled import labelled, mean, without_labels
from hrvlm.certificates.kinds.scalars import levels_of, radii_of
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.rows.measures import Measured, Unit, certified_at, measured

_BASIC = ("sigma", "noise_space", "alpha", "alpha_share", "num_statements", "n0", "n", "seed", "float_mode", "split")
_REUSE = ("label_functions", "functions_chosen")
_SETTINGS = (*_BASIC, "method", "threshold", "votes", "vote_error", "goal", "give_up", "precision", *_REUSE)


def summarise_smoothing(records: Iterable[SmoothingRecord], radii: Sequence[float]) -> dict[str, Any]:
    """Aggregates per tree and level, ready for JSON.

    Levels above the leaves also have "path": of labelled images with rows of their leaf and all superclasses up to this
    level, the share that is right, and right and certified up to each radius, at all of these levels at once. All
    levels of an image share its alpha, so it bounds the error of this too.

    Raises:
        ValueError: if the rows of a level were made with different settings.
    """
    groups: dict[tuple[str, int], list[SmoothingRecord]] = defaultdict(list)
    for record in records:
        groups[record.tree, record.level].append(record)
    summary: dict[str, Any] = {}
    for (tree, level), group in sorted(groups.items()):
        summary.setdefault(tree, {})[str(level)] = _level(group, radii)
        path = [part for (name, height), part in groups.items() if not height or (name == tree and height <= level)]
        if level and len(path) == level + 1 and (together := _path([labelled(part) for part in path], radii)):
            summary[tree][str(level)]["path"] = together
    return summary


def _path(levels: Sequence[Sequence[SmoothingRecord]], radii: Sequence[float]) -> dict[str, Any]:
    """Aggregates of several levels at once, over the images that all of them have; nothing where there are none."""
    certified = [{record.index: right_radius(record) for record in records} for records in levels]
    right = [{record.index: record.correct for record in records} for records in levels]
    whole = sorted(set.intersection(*(set(level) for level in certified)))
    if not whole:
        return {}
    least = [min(level[index] for level in certified) for index in whole]
    return {
        "images": len(whole),
        "smoothed_accuracy": fmean(all(level[index] for level in right) for index in whole),
        "certified_accuracy": {str(radius): fmean(found >= radius for found in least) for radius in radii},
    }


def _level(records: list[SmoothingRecord], radii: Sequence[float]) -> dict[str, Any]:
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
    known, certified = labelled(records), [-1.0 if record.abstain else record.radius for record in records]
    right = [right_radius(record) for record in known]
    return {
        "level_name": records[0].level_name,
        "images": len(records),
        **without_labels(
            records,
            certified_share={str(radius): fmean(r >= radius for r in certified) for radius in radii},
            average_radius=fmean(max(r, 0.0) for r in certified),
        ),
        "certified_accuracy": {str(radius): mean(r >= radius for r in right) for radius in radii},
        "average_certified_radius": mean(max(r, 0.0) for r in right),
        "abstention_rate": fmean(record.abstain for record in records),
        "smoothed_accuracy": mean(record.correct for record in known),
        "mean_samples": fmean(record.n0 + record.n for record in records),
        **{name: next(iter(values)) for name, values in settings.items()},
    }


def right_radius(record: SmoothingRecord) -> float:
    """Certified radius of the right class; -1 where it is not certified."""
    return record.radius if record.correct and not record.abstain else -1.0


def smoothing_measures(record: SmoothingRecord, radii: Sequence[float]) -> list[Measured]:
    """By which models are compared: smoothed and certified accuracy, and mean radius; without a label of any class."""
    if not record.labelled:
        return measured(record, certified_at(radii, -1.0 if record.abstain else record.radius, of_right_class=False))
    smoothed: list[tuple[str, Unit, float]] = [("smoothed accuracy", "right", float(record.correct))]
    return measured(record, [*smoothed, *certified_at(radii, right_radius(record))])


def smoothing_scalars(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What loggers get: mean radius, and shares certified at radii."""
    for start, numbers in levels_of(summary):
        yield from ((f"{start}/{name}", number) for name, number in radii_of(numbers))
