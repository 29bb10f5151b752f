"""Static figures as SVG that takes the colour of the text around it, so that they read in light and in dark.

Every figure is made from rows alone. The kinds of figures are those of the papers: certified accuracy over the radius,
Cohen et al., ICML 2019 (arXiv 1902.02918); bars of invariant intervals, Yang et al., ICML 2026 (arXiv 2606.18839).
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.trees.words import printable

INK = "#010203"  # stands for the colour of the text until the SVG is written
COLOURS = ("#3b82c4", "#d9822b", "#2e9e6b", "#c45aa0", "#8a78d0", "#a5803f", "#5aa6a6", "#9a9a9a")
SAME, RIGHT, OTHER, NOTHING = "#3b82c4", "#2e9e6b", "#d9822b", "#9a9a9a"
Name = Callable[[str, int, int], str]
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "text.usetex": False,
    "figure.constrained_layout.use": True,
}


def shown(name: str, most: int = 40) -> str:
    """A name as a figure shows it: control characters written out, long ones cut."""
    text = printable(name)
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return f"\u200b{text}" if text.startswith("_") else text  # matplotlib leaves such labels out of legends


def svg(figure: Figure, description: str) -> str:
    """A figure as an SVG element to put into a page.

    Args:
        figure: Made within `STYLE`.
        description: What it shows, for those who cannot see it.
    """
    with mpl.rc_context(STYLE | {"svg.hashsalt": description}):
        out = io.StringIO()
        with warnings.catch_warnings():  # letters stay letters in the page, whose fonts have more of them
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def certified_accuracy(records: Sequence[SmoothingRecord]) -> Figure:
    """Share of images that are right and certified up to each radius: one panel per tree, one curve per level."""
    trees = _trees(records)
    with mpl.rc_context(STYLE):
        figure, panels = panels_beside(len(trees), height=3.0)
        for axes, tree in zip(panels, trees, strict=True):
            levels = sorted({(r.level, r.level_name) for r in records if r.level == 0 or r.tree == tree})
            for level, name in levels:
                group = [r for r in records if r.level == level and (level == 0 or r.tree == tree)]
                right = sorted(r.radius for r in group if r.correct and not r.abstain)
                shares = 100 * np.arange(len(right), -1, -1) / len(group)
                edges = [0.0, *right, right[-1] if right else 0.0]
                axes.stairs(
                    shares, edges, baseline=None, label=shown(name), color=COLOURS[level % len(COLOURS)], linewidth=1.8
                )
            axes.set(title=shown(tree), xlabel="L2 radius in pixel units", ylim=(0, 102))
            axes.set_xlim(left=0)
            axes.legend()
        panels[0].set_ylabel("certified accuracy in percent")
    return figure


def profile_depths(records: Sequence[ProfileRecord]) -> Figure:
    """Share of images by the level of the deepest ancestor certified at each radius: one panel per tree."""
    trees = sorted({record.tree for record in records})
    top = max((radius for record in records for radius, level in record.steps if level >= 0), default=0.0)
    with mpl.rc_context(STYLE):
        figure, panels = panels_beside(len(trees), height=3.0)
        for axes, tree in zip(panels, trees, strict=True):
            group = [record for record in records if record.tree == tree]
            names = [shown(name) for name in group[0].level_names]
            radii = np.linspace(0, top * 1.02 or 1.0, 101)
            parts = depth_shares(group, radii)
            colours = [COLOURS[level % len(COLOURS)] for level in range(len(names))]
            axes.stackplot(radii, *parts, labels=names, colors=colours, alpha=0.85, linewidth=0, step="post")
            axes.set(title=shown(tree), xlabel="L2 radius in pixel units", ylim=(0, 100), xlim=(0, radii[-1]))
            axes.legend(title="deepest certified level", loc="upper right")
        panels[0].set_ylabel("images in percent")
    return figure


def depth_shares(records: Sequence[ProfileRecord], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of images `(L, R)` whose deepest certified ancestor at a radius lies at a level; profiles of one tree."""
    depths = np.array([[record.deepest_at(radius) for radius in radii] for record in records])
    return np.stack([100 * (depths == level).mean(axis=0) for level in range(len(records[0].level_names))])


def mean_invariance(records: Sequence[SemanticRecord]) -> Figure:
    """Mean share of the range that keeps the prediction: one panel per scorer, bars per attribute and level."""
    scorers = sorted({record.scorer for record in records})
    attributes = list(dict.fromkeys(record.attribute for record in records))
    levels = sorted({(r.level > 0, r.tree if r.level else "", r.level, r.level_name) for r in records})
    with mpl.rc_context(STYLE):
        beside = 2.0 + _room([f"{tree}/{words}" for _, tree, _, words in levels]) + _room(attributes)
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


def interval_bars(records: Sequence[SemanticRecord], name: Name) -> Figure:
    """The intervals of one image under one scorer: a bar per attribute and level, from the image to the target.

    Args:
        records: Of one image and scorer.
        name: Words for (tree, level, class).
    """
    records = sorted(records, key=lambda r: (r.attribute, r.level > 0, r.tree, r.level))
    with mpl.rc_context(STYLE):
        names = [shown(f"{r.attribute}: {r.level_name}", 60) for r in records]
        figure = Figure(figsize=(6.4 + _room(names), 0.75 + 0.24 * len(records)))
        axes = figure.subplots()
        for place, record in enumerate(records):
            _bar(axes, place, record, name)
        axes.set_yticks(range(len(records)), names)
        axes.set(xlim=(0, 100), ylim=(len(records) - 0.5, -0.5), xlabel="way from the image to the target in percent")
        axes.grid(visible=False)
    return figure


def _bar(axes: Any, place: int, record: SemanticRecord, name: Name) -> None:
    whole = record.stop - record.start
    if not record.intervals:
        axes.barh(place, 100, 0.8, color=NOTHING, alpha=0.25, hatch="///")
        axes.text(50, place, "nothing certified", ha="center", va="center", fontsize=7)
    for begin, end, label in record.intervals:
        first, last = (0.0, 100.0) if whole == 0 else (100 * (x - record.start) / whole for x in (begin, end))
        colour = SAME if label == record.prediction else RIGHT if label == record.label else OTHER
        axes.barh(place, last - first, 0.8, left=first, color=colour, alpha=0.85, linewidth=0)
        if last - first > 14:
            words = printable(name(record.tree, record.level, label))
            fitting = words if len(words) < 0.5 * (last - first) + 4 else f"{words[: int(0.5 * (last - first))]}…"
            axes.text((first + last) / 2, place, fitting, ha="center", va="center", fontsize=7)


def _room(names: Iterable[str]) -> float:
    """Inches that names need beyond the usual ones."""
    return 0.09 * max(0, max(len(shown(name, 60)) for name in names) - 24)


def panels_beside(count: int, *, height: float, beside: float = 0.0) -> tuple[Figure, list[Any]]:
    """Panels side by side, with so many inches left for a legend."""
    figure = Figure(figsize=(max(4.6, 3.6 * count) + beside, height))
    return figure, list(figure.subplots(1, count, sharey=True, squeeze=False)[0])


def _trees(records: Iterable[SmoothingRecord]) -> list[str]:
    """Trees with levels of their own; the first one alone if there are leaves only."""
    records = list(records)
    return sorted({r.tree for r in records if r.level > 0}) or sorted({r.tree for r in records})


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return 100 * sum(found) / len(found) if found else 0.0


def nice_radii(records: Sequence[SmoothingRecord]) -> list[float]:
    """0 and up to five round radii up to the largest certified one, whatever its size."""
    top = max((record.radius for record in records), default=0.0)
    if not 1e-300 < top < math.inf:
        return [0.0]
    size = math.floor(math.log10(top))
    steps: Mapping[float, int] = {m * 10.0**e: int(top / (m * 10.0**e)) for e in (size - 1, size) for m in (1, 2, 5)}
    step = min(length for length, count in steps.items() if 1 <= count <= 5)
    return [round(k * step, 9 - size) for k in range(steps[step] + 1)]
