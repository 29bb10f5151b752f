"""What a page tells of a training run: its curves, certificates of its epochs, norms and margins."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from hrvlm.certificates.kinds.registry import kind_named
from hrvlm.certificates.kinds.report import report_of
from hrvlm.charts.frame import Axes
from hrvlm.charts.lines import Chart, Curve
from hrvlm.evaluation.training_runs import TrainingRun, epoch_metrics
from hrvlm.reports.collecting import Certificates
from hrvlm.reports.page import page_section
from hrvlm.rows.lines import iterate_lines
from hrvlm.rows.measures import ALL

MOST_CURVES = 8


def training_sections(run: TrainingRun, radii: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Sections of a training run, each where it has rows or numbers for it.

    Args:
        run: the files.
        radii: L2 radii of certified accuracies, in pixel units.

    Raises:
        ValueError: if a file holds something else.
    """
    drawn = [chart.svg() for chart in _metrics(epoch_metrics(run.folder))]
    if drawn:
        yield page_section("training", "Training", "Losses and accuracies as they were logged, by epoch.", drawn, [])
    drawn = [chart.svg() for chart in epoch_charts(run, radii)]
    if drawn:
        text = (
            "Certified accuracy after each epoch, from its rows. Epochs met the same noise: the choice of an epoch by "
            "these curves is not covered; certify the chosen one with noise of another seed."
        )
        yield page_section("epochs", "Certificates by epoch", text, drawn, [])
    drawn = [chart.svg() for chart in _geometry(run.geometry)]
    if drawn:
        text = "Means over the points that were looked at, by level: text prompts, and images where they were embedded."
        yield page_section("geometry", "Norms and margins", text, drawn, [])


def _metrics(found: Mapping[str, Mapping[int, float]]) -> list[Chart]:
    """Losses in one chart, accuracies in another."""
    names = [name for name in found if "/" not in name.removeprefix("val/").removeprefix("train/")]
    losses = [name for name in names if "loss" in name][:MOST_CURVES]
    accuracies = [name for name in found if "acc" in name.rpartition("/")[2] and not name.startswith("certificates")]
    charts = []
    for title, chosen, label in (("Losses", losses, "loss"), ("Accuracies", accuracies[:MOST_CURVES], "accuracy")):
        told = {name: found[name] for name in chosen if any(map(math.isfinite, found[name].values()))}
        if told:
            charts.append(over_epochs(title, label, told))
    return charts


def over_epochs(title: str, label: str, told: Mapping[str, Mapping[int, float]]) -> Chart:
    """A chart of numbers over epochs.

    Args:
        title: above it.
        label: beside it.
        told: numbers by epoch, of each curve.
    """
    epochs = sorted({epoch for found in told.values() for epoch in found})
    values = [value for found in told.values() for value in found.values() if math.isfinite(value)]
    low, high = min(0.0, *values), max(values)
    axes = Axes(
        title=title, x_label="epoch", y_label=label, x=(epochs[0], max(epochs[-1], epochs[0] + 1)), whole=True,
        y=(low, high if high > low else low + 1.0),
        description=f"{title} over epochs {epochs[0]} to {epochs[-1]}: {', '.join(told)}",
    )  # fmt: skip
    return Chart([Curve(name, epochs, [_finite(found.get(e)) for e in epochs]) for name, found in told.items()], axes)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def epoch_charts(run: TrainingRun, radii: Sequence[float]) -> list[Chart]:
    """Per kind and radius, the share of images certified right after each epoch, a curve per level.

    Args:
        run: the files; there are no charts of a single epoch.
        radii: see `training_sections`.
    """
    parts = [part for part in run.certificates if part.startswith("epoch=")]
    if len(parts) < 2:
        return []
    told: dict[tuple[str, str], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for part in parts:
        sums: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for record in Certificates.of_files(run.certificates[part]):
            for measure, value in kind_named(record.kind).measures(record, radii):
                if measure.name.startswith("certified at ") and "," not in measure.name:
                    level = measure.level_name if measure.tree == ALL else f"{measure.tree}/{measure.level_name}"
                    sums[record.kind, measure.name, level].append(100 * value)
        for (kind, name, level), values in sums.items():
            told[kind, name][level][int(part.partition("=")[2])] = fmean(values)
    return [
        over_epochs(f"{report_of(kind_named(kind)).heading}, {name} (L2)", "images in percent", found)
        for (kind, name), found in told.items()
    ]


def _geometry(files: Mapping[int, Path]) -> list[Chart]:
    """Norms and margins, a curve per level and kind of point."""
    told: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for epoch, path in files.items():
        sums: dict[tuple[str, str], list[float]] = defaultdict(list)
        for number, line in iterate_lines(path):
            row = _point(line, f"line {number} of {path}")
            level = f"{row['tree']}/{row['level_name']}" if row["level"] else row["level_name"]
            clean = row.get("attack", "clean") == "clean"
            for name in ("point_norm", "margin"):
                if isinstance(row.get(name), float) and math.isfinite(row[name]) and clean:
                    sums[name, f"{level}, {row['of']}"].append(row[name])
        for (name, level), values in sums.items():
            told[name][level][epoch] = fmean(values)
    words = {"point_norm": "Norm", "margin": "Margin"}
    return [over_epochs(words[name], f"mean {words[name].lower()}", found) for name, found in told.items()]


def _point(line: bytes, where: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
        _ = (row["tree"] + row["level_name"] + row["of"], int(row["level"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"expected a row of geometry in {where}, got {line[:80]!r}") from error
    return row
