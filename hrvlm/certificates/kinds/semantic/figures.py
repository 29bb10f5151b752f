"""Figures of semantic extents: their means, and bars of the intervals of an image.

Such bars are those of Yang et al., ICML 2026 (arXiv 2606.18839).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.figures import COLOURS, NOTHING, OTHER, RIGHT, SAME, STYLE, panels_beside, room, shown
from hrvlm.trees.words import printable

ClassName: TypeAlias = Callable[[str, int, int], str]
"""Words for a class, by tree, level and number."""


def mean_invariance(records: Sequence[SemanticRecord]) -> Figure:
    """Mean share of the range that keeps the prediction: one panel per scorer, bars per attribute and level."""
    scorers = sorted({record.scorer for record in records})
    attributes = list(dict.fromkeys(record.attribute for record in records))
    levels = sorted({(r.level > 0, r.tree if r.level else "", r.level, r.level_name) for r in records})
    with mpl.rc_context(STYLE):
        beside = 2.0 + room([f"{tree}/{words}" for _, tree, _, words in levels]) + room(attributes)
        height = 0.9 + 0.15 * len(attributes) * (len(levels) + 1)
        figure, panels = panels_beside(len(scorers), height=height, beside=beside)
        for axes, scorer in zip(panels, scorers, strict=True):
            for place, (_, tree, level, words) in enumerate(levels):
                here = [r for r in records if r.scorer == scorer and r.level == level and tree in ("", r.tree)]
                shares = [_mean(r.invariance for r in here if r.attribute == name) for name in attributes]
                at = np.arange(len(attributes)) + (place + 0.5) / (len(levels) + 1)
                label = f"{tree}/{words}" if tree else words
                axes.barh(at, shares, 0.9 / (len(levels) + 1), label=shown(label), color=COLOURS[place % len(COLOURS)])
            axes.set(title=shown(scorer), xlabel="mean invariant share of the range in percent", xlim=(0, 100))
            axes.set_yticks(np.arange(len(attributes)) + 0.45, [shown(name) for name in attributes])
            axes.set_ylim(len(attributes), -0.1)
        panels[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def interval_bars(records: Sequence[SemanticRecord], name: ClassName) -> Figure:
    """The intervals of one image under one scorer: a bar per attribute and level, from the image to the target.

    Args:
        records: of one image and scorer.
        name: words for (tree, level, class).
    """
    records = sorted(records, key=lambda r: (r.attribute, r.level > 0, r.tree, r.level))
    with mpl.rc_context(STYLE):
        names = [shown(f"{r.attribute}: {r.level_name}", 60) for r in records]
        figure = Figure(figsize=(6.4 + room(names), 0.75 + 0.24 * len(records)))
        axes = figure.subplots()
        for place, record in enumerate(records):
            _bar(axes, place, record, name)
        axes.set_yticks(range(len(records)), names)
        axes.set(xlim=(0, 100), ylim=(len(records) - 0.5, -0.5), xlabel="way from the image to the target in percent")
        axes.grid(visible=False)
    return figure


def bars_of_image(records: Iterable[Any], index: int, scorer: str | None, name: ClassName) -> Figure:
    """The `interval_bars` of an image and a scorer, found among records of any kinds.

    Args:
        records: certificates.
        index: data set index of the image.
        scorer: which scorer's intervals; None takes the only one.
        name: as in `interval_bars`.

    Raises:
        ValueError: if the image has no such records, or those of several scorers and none was chosen.
    """
    image = [record for record in records if record.kind == SemanticRecord.kind and record.index == index]
    scorers = sorted({record.scorer for record in image})
    if not image or scorer not in [*scorers, None] or (scorer is None and len(scorers) > 1):
        given = f"image {index}" if scorer is None else f"image {index} and scorer {scorer!r}"
        held = ", ".join(scorers) or "no scorer"
        raise ValueError(f"expected one scorer's semantic rows of an image, got {given}, which has those of {held}")
    return interval_bars([record for record in image if scorer in (None, record.scorer)], name)


def _bar(axes: Any, place: int, record: SemanticRecord, name: ClassName) -> None:
    whole = record.stop - record.start
    if not record.intervals:
        axes.barh(place, 100, 0.8, color=NOTHING, alpha=0.25, hatch="///")
        axes.text(50, place, "nothing certified", ha="center", va="center", fontsize=7)
    for _, extent in record.marginal_extents if whole else ():  # one line over the other: longer for a larger rate
        axes.plot([0, 100 * extent / abs(whole)], [place + 0.43] * 2, color="black", linewidth=0.8, alpha=0.5)
    for begin, end, label in record.intervals:
        first, last = (0.0, 100.0) if whole == 0 else (100 * (x - record.start) / whole for x in (begin, end))
        colour = SAME if label == record.prediction else RIGHT if label == record.label else OTHER
        axes.barh(place, last - first, 0.8, left=first, color=colour, alpha=0.85, linewidth=0)
        if last - first > 14:
            words = printable(name(record.tree, record.level, label))
            fitting = words if len(words) < 0.5 * (last - first) + 4 else f"{words[: int(0.5 * (last - first))]}…"
            axes.text((first + last) / 2, place, fitting, ha="center", va="center", fontsize=7)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return 100 * sum(found) / len(found) if found else 0.0
