"""Figures of a training run: losses and accuracies over its steps, norms and margins per level over its epochs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hrvlm.evaluation.level_geometry import summarise_geometry
from hrvlm.evaluation.training_runs import Metrics
from hrvlm.evaluation.training_runs import read_metrics as read_metrics  # offered beside what takes it
from hrvlm.figures import COLOURS, STYLE, legend_below, shown

Curve: TypeAlias = tuple[str, list[float], list[float]]
"""Its name, and its points: steps or epochs, and values."""


def training_curves(metrics: Metrics) -> Figure:
    """What a run logged over its steps: loss, accuracies, mean certified radii; a panel for each that was logged.

    Args:
        metrics: rows as of `read_metrics`.

    Raises:
        ValueError: if none of it was logged.
    """
    panels = [(title, curves) for title, chosen in _PANELS.items() if (curves := _logged(metrics, chosen))]
    if not panels:
        raise ValueError("expected metrics of a training run, such as train/loss, got none")
    return _panels(panels, "step")


def level_geometry(rows: Iterable[Mapping[str, Any]]) -> Figure:
    """Mean norms of points and margins between classes over epochs, per level: clean solid, under attack dashed.

    Args:
        rows: of the `geometry` folder of a run, of one epoch or several.

    Raises:
        ValueError: if there are none.
    """
    epochs: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        epochs[row["epoch"]].append(dict(row))
    if not epochs:
        raise ValueError("expected rows of the geometry of a run for this figure, got none")
    means = [{"step": float(epoch)} | summarise_geometry(group, "") for epoch, group in sorted(epochs.items())]
    panels = [(f"mean {what}", _logged(means, partial(_level_and_attack, what))) for what in ("norm", "margin")]
    return _panels(panels, "epoch", dashed="under attack")


def _level_and_attack(what: str, name: str) -> str | None:
    """The words of a mean of `summarise_geometry`, "/LEVEL/ATTACK/norm"; None of another."""
    level, attack, last = [*name.strip("/").rsplit("/", 2), "", ""][:3]
    if last != what:
        return None
    return level + ("" if attack == "clean" else " under attack")


def _logged(metrics: Metrics, words: Callable[[str], str | None]) -> list[Curve]:
    """Curves of all metrics that are called something, with their finite points in order."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in metrics:
        for name, value in row.items():
            if (told := words(name)) is not None and math.isfinite(value):
                points[told].append((row["step"], value))
    return [(told, *map(list, zip(*sorted(found), strict=True))) for told, found in points.items()]  # type: ignore[misc]


def _panels(panels: Sequence[tuple[str, list[Curve]]], along: str, dashed: str = "\0") -> Figure:
    """Panels side by side, each with a title, curves, and a scale of its own."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, 3.8 * len(panels)), 3.8))
        for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _draw(axes, curves, dashed)
            axes.set(title=title, xlabel=along)
    return figure


def _draw(axes: Any, curves: list[Curve], dashed: str) -> None:
    """Lines, of which those that a word marks are dashed and have the colour of the one without it."""
    plain = list(dict.fromkeys(name.replace(dashed, "").strip() for name, _, _ in curves))
    for name, places, values in curves:
        colour = COLOURS[plain.index(name.replace(dashed, "").strip()) % len(COLOURS)]
        style, marker = "--" if dashed in name else "-", "o" if len(places) < 20 else ""
        axes.plot(places, values, style, label=shown(name), color=colour, marker=marker, markersize=3, linewidth=1.4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(axes, fontsize=7)


def _after(first: str) -> Callable[[str], str | None]:
    """Names that begin so, without that beginning."""
    return lambda name: name[len(first) :] if name.startswith(first) else None


def _mean_radius(name: str) -> str | None:
    """Kind, tree and level of a mean certified radius that was logged in training."""
    *place, last = name.split("/")
    return "/".join(place[1:]) if last == "average_certified_radius" else None


_PANELS: Mapping[str, Callable[[str], str | None]] = {
    "loss": lambda name: "loss" if name == "train/loss" else None,
    "validation accuracy": _after("validation/accuracy/"),
    "accuracy of attacked subset": _after("robust/"),
    "mean certified radius": _mean_radius,
}
