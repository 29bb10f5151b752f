"""The figure of attacks that push a model towards a forbidden answer, from rows alone; see `hrvlm.figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from hrvlm.figures import NOTHING, OTHER, RIGHT, SAME, STYLE, legend_below, panels_beside
from hrvlm.generative.targeted_attack_records import (
    BUDGETS,
    TargetedAttackRecord,
    success_over_radius,
    summarise_targeted_attacks,
)

L2_NORM = "largest L2 norm of the attack in pixel units"
L2_RADIUS = "L2 radius of the attack in pixel units"
Points = Sequence[Mapping[str, Any]]


def attack_curves(records: Sequence[TargetedAttackRecord]) -> Figure:
    """Success over the budget without and with smoothing; and with it, inside and beyond certified radii."""
    summary, over_radius = summarise_targeted_attacks(records), success_over_radius(records)
    with mpl.rc_context(STYLE):
        figure, (left, right) = panels_beside(2, height=3.6)
        _curve(left, "without smoothing", summary["none"], OTHER, "o")
        _curve(left, "with smoothing", summary["smoothing"], SAME, "s")
        left.set(title="by budget", xlabel=BUDGETS[summary.get("norm", "l2")], ylim=(-3, 103))
        left.set_ylabel("attacks that succeed, percent")
        for side, colour, marker in (("inside", RIGHT, "D"), ("beyond", NOTHING, "s")):
            total = summary[side]
            words = f"{side} certified radii ({total['successes']} of {total['attacked']})"
            _curve(right, words, over_radius[side], colour, marker)
        right.set(
            title="with smoothing",
            xlabel="largest L2 norm of the attack in pixel units" if "norm" in summary else L2_RADIUS,
        )
        for axes in (left, right):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))  # the default writes formulas
            if axes.lines:
                legend_below(axes)
    return figure


def _curve(axes: Axes, words: str, points: Points, colour: str, marker: str) -> None:
    points = [point for point in points if point["attacked"]]
    if points:
        rates = [100 * point["rate"] for point in points]
        axes.plot([point["eps"] for point in points], rates, label=words, color=colour, marker=marker, linewidth=1.8)
