"""Figures of what pages show as charts: certificates by epoch, calibrations, models side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hrvlm.charts.lines import Chart
from hrvlm.evaluation.folder_names import read_settings
from hrvlm.evaluation.training_runs import training_run
from hrvlm.figures import COLOURS, STYLE, legend_below, shown
from hrvlm.reports.calibration_sections import calibration_charts
from hrvlm.reports.folder_page import logged_radii
from hrvlm.reports.training_sections import epoch_charts

BESIDE = 3  # panels in a row


def certified_by_epoch(folder: str | Path, radii: Sequence[float] | None = None) -> Figure:
    """Share of images in percent that each epoch's model is certified right on: a panel per radius, a curve per level.

    Args:
        folder: of a training run (`version_N`).
        radii: L2 radii in pixel units; None takes those that the run logged.

    Raises:
        ValueError: if it has no certificates of several epochs.
    """
    run = training_run(Path(folder))
    charts = [] if run is None else epoch_charts(run, (logged_radii(run) if radii is None else radii) or (0.0,))
    if not charts:
        raise ValueError(f"expected a training run with certificates of several epochs in {folder}, got none")
    return _figure(charts)


def calibration_losses(folder: str | Path) -> Figure:
    """Share of contradicted claims by threshold in percent: a panel per change and scorer, with the threshold per rate.

    Args:
        folder: of `certify.py run` whose semantic rows are calibrated.

    Raises:
        ValueError: if it keeps no calibration.
    """
    found = list(calibration_charts(Path(folder), read_settings(Path(folder)) or {}))
    if not found:
        raise ValueError(f"expected a folder with the calibration that its rows rest on, got none in {folder}")
    return _figure(found[0][1])


def compared(folders: Sequence[str | Path], names: Sequence[str] | None = None, radii: Sequence[float] = ()) -> Figure:
    """Certified shares in percent over the L2 radius of several models: a panel per level, a curve per model.

    Args:
        folders: of `certify.py run`; see `certify.py compare`.
        names: of the models, one per folder; None takes those of the folders.
        radii: at which they are compared, in pixel units; none takes round ones.

    Raises:
        ValueError: if the folders do not fit each other, or have no certificates at several radii.
    """
    from hrvlm.evaluation.comparison import columns_of, compare
    from hrvlm.evaluation.comparison_rows import read_results
    from hrvlm.reports.comparison_page import over_radii
    from hrvlm.reports.radii import round_radii

    results = [read_results(Path(folder)) for folder in folders]
    largest = max((part.largest_radius() for found in results for part in found), default=0.0)
    comparison = compare(columns_of(results, names), list(radii) or round_radii(largest))
    headings = dict.fromkeys(line.heading for line in comparison.lines)
    charts = [chart for heading in headings for chart in over_radii(comparison, heading)]
    if not charts:
        raise ValueError(f"expected certificates at several radii in {', '.join(map(str, folders))}, got none")
    return _figure(charts)


def _figure(charts: Sequence[Chart]) -> Figure:
    """Panels in rows, each with its own scale and legend."""
    columns = min(BESIDE, len(charts))
    rows = -(-len(charts) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(4.6, 3.8 * columns), 3.8 * rows))
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, chart in zip(panels, charts, strict=False):
            _draw(axes, chart)
        for axes in panels[len(charts) :]:
            axes.set_axis_off()
    return figure


def _draw(axes: Any, chart: Chart) -> None:
    low, high = chart.axes.x
    for number, curve in enumerate(chart.curves):
        x, y = list(curve.x), [float("nan") if value is None else value for value in curve.y]
        if chart.step:  # values hold up to their x from the one before
            x, y = [low, *x], [y[0], *y]
        style = {"drawstyle": "steps-pre"} if chart.step else {"marker": "o" if len(x) < 20 else ""}
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(x, y, label=shown(curve.name), color=colour, markersize=3, linewidth=1.4, **style)
    axes.set(title=shown(chart.axes.title), xlabel=chart.axes.x_label, ylabel=chart.axes.y_label, xlim=(low, high))
    if chart.axes.whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(axes, fontsize=7)
