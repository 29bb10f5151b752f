"""Certified accuracy over the radius for pages, with intervals; see `figures` for the same in matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hrvlm.certificates.kinds.labelled import labelled
from hrvlm.certificates.kinds.smoothing.record import VARYING, SmoothingRecord
from hrvlm.certificates.kinds.smoothing.summary import certified_radii, right_radii
from hrvlm.certificates.statistics.binomial import clopper_pearson_interval
from hrvlm.charts.frame import Axes
from hrvlm.charts.lines import Curve, curves
from hrvlm.rows.table import RecordTable, distinct, examples

MOST_STEPS = 150
ALPHA = 0.05
"""Error probability of each interval."""


def certified_curves(records: Sequence[SmoothingRecord]) -> list[str]:
    """Share of images that are right and certified up to each radius: a chart per tree, a curve per level.

    Images without a label are left out; where none has one, the share is that of all that are certified.
    """
    table = RecordTable.of(records, VARYING)
    known = labelled(table)
    unknown = not known
    told = known or table
    top = float(told.column("radius").max())
    what = "share certified" if unknown else "certified accuracy"
    charts = []
    for tree in trees_of(records):
        of_tree = told.where((told.column("level") == 0) | (told.column("tree") == tree))
        names = sorted({(r.level, r.level_name) for r in of_tree.used})
        levels = of_tree.column("level")
        found = [certified_curve(name, of_tree.where(levels == level), unknown) for level, name in names]
        axes = Axes(
            title=tree, x_label="L2 radius in pixel units", y_label=f"{what} in percent", x=(0.0, 1.05 * top or 1.0),
            description=f"{what.capitalize()} over the L2 radius, tree {tree}: {_words(found)}",
        )  # fmt: skip
        charts.append(curves(found, axes, step=True))
    return charts


def certified_curve(name: str, records: Sequence[SmoothingRecord], unknown: bool = False) -> Curve:
    """The steps of one level, in percent, with exact 95 % intervals over images; at most `MOST_STEPS`, each exact."""
    table = RecordTable.of(records, VARYING)
    told = certified_radii(table) if unknown else right_radii(table)
    radii = np.sort(told[told >= 0])
    edges = np.unique(np.append(radii, 0.0))
    if len(edges) > MOST_STEPS:
        edges = edges[np.unique(np.linspace(0, len(edges) - 1, MOST_STEPS).round().astype(int))]
    counts = len(radii) - np.searchsorted(radii, edges, side="left")
    last = float(edges[-1])
    low, high = _interval([*counts.tolist(), 0], len(records))
    return Curve(name, [*edges.tolist(), last], [*(100 * counts / len(records)).tolist(), 0.0], low, high)


def _interval(counts: Sequence[int], images: int) -> tuple[list[float], list[float]]:
    """Bounds of shares in percent."""
    low, high = ((100 * np.atleast_1d(b)).tolist() for b in clopper_pearson_interval(counts, images, ALPHA))
    return low, high


def _words(found: Sequence[Curve]) -> str:
    return ", ".join(f"{curve.name} {curve.y[0]:.1f} percent at radius 0" for curve in found)


def trees_of(records: Sequence[SmoothingRecord]) -> list[str]:
    """Trees with levels of their own; the first one alone if there are leaves only."""
    return sorted({r.tree for r in examples(records) if r.level > 0}) or sorted(distinct(records, "tree"))
