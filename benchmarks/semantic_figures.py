"""The figures of benchmarks/semantic.py, made from its result file and shown in docs/semantic.md."""

from __future__ import annotations

import io
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
METHODS = {"pixel_line": "pixel line", "embedding_line": "embedding line", "text": "text", "image": "image"}
COLOURS = {"pixel_line": "#9a9a9a", "embedding_line": "#a5803f", "text": "#3b82c4", "image": "#d9822b"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "semantic",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def discrepancy(result: dict[str, Any]) -> Figure:
    """Mean absolute discrepancy from the reference arc, per change and transformation."""
    leaf = next(iter(result["changes"][0]["levels"]))
    names = [*(change["name"] for change in result["changes"]), "mean"]
    figure = Figure(figsize=(7.5, 4.8))
    axes = figure.subplots()
    for place, (method, title) in enumerate(METHODS.items()):
        values = [100 * change["levels"][leaf][method]["discrepancy"] for change in result["changes"]]
        heights = np.arange(len(names)) + (place - 1.5) * 0.2
        axes.barh(heights, [*values, statistics.fmean(values)], 0.18, color=COLOURS[method], label=title)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"discrepancy from the reference arc, percent ({leaf}; lower is better)")
    axes.legend()
    return figure


def stability(result: dict[str, Any]) -> Figure:
    """Stable coverage, and how often sampled misalignments keep the label, over the misalignment bound."""
    deltas = result["setting"]["deltas"]
    figure = Figure(figsize=(7.5, 3.2))
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for change in result["changes"]:
        left.plot(deltas, [100 * value for value in change["sweep"]["coverage"]], color="#9a9a9a", linewidth=0.8)
    columns = zip(*(change["sweep"]["coverage"] for change in result["changes"]), strict=True)
    left.plot(deltas, [100 * statistics.fmean(column) for column in columns], color="#3b82c4", label="mean of changes")
    left.set(title="stable coverage", xlabel="misalignment bound", ylabel="percent")
    left.legend()
    curves = {"conditional_invariance": "on the stable part", "overall_invariance": "on the whole range"}
    for (key, label), colour in zip(curves.items(), ("#2e9e6b", "#d9822b"), strict=True):
        columns = zip(*(change["sweep"][key] for change in result["changes"]), strict=True)
        means = [100 * statistics.fmean(v for v in column if v is not None) for column in columns]
        right.plot(deltas, means, color=colour, label=label)
    right.set(title="sampled misalignments that keep the label", xlabel="misalignment bound", ylim=(0, 104))
    right.legend()
    return figure


def svg(figure: Figure) -> str:
    """The same text for the same numbers."""
    out = io.StringIO()
    figure.savefig(out, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def figures(result: dict[str, Any]) -> dict[str, str]:
    """SVG of every figure by file name."""
    with mpl.rc_context(_STYLE):
        made = {"semantic_discrepancy.svg": discrepancy(result), "semantic_stability.svg": stability(result)}
        return {name: svg(figure) for name, figure in made.items()}


def write(result: dict[str, Any]) -> None:
    """Writes the figures into the documentation's folder."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in figures(result).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
