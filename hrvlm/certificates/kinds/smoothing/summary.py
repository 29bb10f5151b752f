"""Averages of smoothing certificates, recomputed from rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from statistics import fmean
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.labelled import labelled, mean, without_labels
from hrvlm.certificates.kinds.scalars import levels_of, radii_of
from hrvlm.certificates.kinds.smoothing.record import VARYING, SmoothingRecord
from hrvlm.rows.measures import Measured, MeasuredTogether, Unit, certified_at, measured
from hrvlm.rows.table import RecordTable

_BASIC = ("sigma", "noise_space", "alpha", "alpha_share", "num_statements", "n0", "n", "seed", "float_mode", "split")
_REUSE = ("label_functions", "functions_chosen")
Table: TypeAlias = RecordTable[SmoothingRecord]
_SETTINGS = (*_BASIC, "method", "threshold", "votes", "vote_error", "goal", "give_up", "precision", *_REUSE)


def summarise_smoothing(records: Iterable[SmoothingRecord], radii: Sequence[float]) -> dict[str, Any]:
    """Aggregates per tree and level, ready for JSON.

    Levels above the leaves also have "path": of labelled images with rows of their leaf and all superclasses up to this
    level, the share that is right, and right and certified up to each radius, at all of these levels at once. All
    levels of an image share its alpha, so it bounds the error of this too.

    Raises:
        ValueError: if the rows of a level were made with different settings.
    """
    found = records if isinstance(records, RecordTable) else list(records)
    groups = RecordTable.of(found, VARYING).groups("tree", "level") if found else {}
    summary: dict[str, Any] = {}
    for (tree, level), group in sorted(groups.items()):
        summary.setdefault(tree, {})[str(level)] = _level(group, radii)
        path = [part for (name, height), part in groups.items() if not height or (name == tree and height <= level)]
        if level and len(path) == level + 1 and (together := _path([labelled(part) for part in path], radii)):
            summary[tree][str(level)]["path"] = together
    return summary


def _path(levels: Sequence[Table], radii: Sequence[float]) -> dict[str, Any]:
    """Aggregates of several levels at once, over the images that all of them have; nothing where there are none."""
    indices = [table.column("index") for table in levels]
    whole = reduce(np.intersect1d, indices)
    if not len(whole):
        return {}
    orders = [np.argsort(index, kind="stable") for index in indices]
    at = [order[np.searchsorted(index[order], whole)] for index, order in zip(indices, orders, strict=True)]
    least = np.min([right_radii(table)[rows] for table, rows in zip(levels, at, strict=True)], axis=0)
    right = np.all([table.column("correct")[rows] for table, rows in zip(levels, at, strict=True)], axis=0)
    return {
        "images": len(whole),
        "smoothed_accuracy": _share(right),
        "certified_accuracy": {str(radius): _share(least >= radius) for radius in radii},
    }


def _level(records: Table, radii: Sequence[float]) -> dict[str, Any]:
    """Aggregates of one level of one tree."""
    settings = {name: records.distinct(name) for name in _SETTINGS}
    if records.distinct("n_max") != {None}:  # n depends on the image; its limit does not
        settings["n"] = records.distinct("n_max")
    first, mixed = records[0], {name: sorted(values, key=str) for name, values in settings.items() if len(values) > 1}
    if mixed:
        raise ValueError(
            f"expected one setting for tree {first.tree!r} level {first.level}, got {mixed}: keep runs apart"
        )
    known, certified = labelled(records), certified_radii(records)
    right = right_radii(known)
    return {
        "level_name": first.level_name,
        "images": len(records),
        **without_labels(
            records,
            certified_share={str(radius): _share(certified >= radius) for radius in radii},
            average_radius=fmean(np.maximum(certified, 0.0).tolist()),
        ),
        "certified_accuracy": {str(radius): mean((right >= radius).tolist()) for radius in radii},
        "average_certified_radius": mean(np.maximum(right, 0.0).tolist()),
        "abstention_rate": _share(records.column("abstain")),
        "smoothed_accuracy": mean(known.column("correct").tolist()),
        "mean_samples": fmean((records.column("n0") + records.column("n")).tolist()),
        **{name: next(iter(values)) for name, values in settings.items()},
    }


def _share(held: NDArray[np.bool_]) -> float:
    """How many of some are so."""
    return int(np.count_nonzero(held)) / len(held)


def certified_radii(records: Table) -> NDArray[np.float64]:
    """Certified radii `(N,)` of whatever class; -1 where nothing is certified."""
    return np.where(records.column("abstain"), -1.0, records.column("radius"))


def right_radii(records: Table) -> NDArray[np.float64]:
    """Certified radii `(N,)` of the right class, see `right_radius`."""
    return np.where(records.column("correct"), certified_radii(records), -1.0)


def right_radius(record: SmoothingRecord) -> float:
    """Certified radius of the right class; -1 where it is not certified."""
    return record.radius if record.correct and not record.abstain else -1.0


def smoothing_measures(record: SmoothingRecord, radii: Sequence[float]) -> list[Measured]:
    """By which models are compared: smoothed and certified accuracy, and mean radius; without a label of any class."""
    if not record.labelled:
        return measured(record, certified_at(radii, -1.0 if record.abstain else record.radius, of_right_class=False))
    smoothed: list[tuple[str, Unit, float]] = [("smoothed accuracy", "right", float(record.correct))]
    return measured(record, [*smoothed, *certified_at(radii, right_radius(record))])


def measured_together(records: Table, radii: Sequence[float]) -> Iterator[MeasuredTogether]:
    """What `smoothing_measures` gives of many records, added up."""
    for group in records.groups("tree", "level", "level_name").values():
        known = group.column("label") >= 0
        for part in (group.where(mask) for mask in (known, ~known) if mask.any()):
            measures = [measure for measure, _ in smoothing_measures(part[0], radii)]
            told = right_radii(part) if part[0].labelled else certified_radii(part)
            sums: list[float] = [float(np.count_nonzero(part.column("correct")))] if part[0].labelled else []
            sums += [float(np.count_nonzero(told >= radius)) for radius in radii]
            for measure, total in zip(measures, [*sums, float(np.maximum(told, 0.0).sum())], strict=True):
                yield measure, len(part), total


def smoothing_scalars(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """What loggers get: mean radius, and shares certified at radii."""
    for start, numbers in levels_of(summary):
        yield from ((f"{start}/{name}", number) for name, number in radii_of(numbers))
