"""Curves: steps of shares over radii, and lines over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hrvlm.charts.frame import NUM_COLOURS, Axes, drawn, shown


@dataclass(frozen=True)
class Curve:
    """A curve and, where they are known, bounds of an interval around its values.

    Attributes:
        name: in the key.
        x: rising.
        y: one value per x; None leaves a gap. Of steps, the value up to this x from the one before.
        low: lower bounds, or nothing.
        high: upper bounds, or nothing.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Chart:
    """Curves and what surrounds them: of a page, or of a figure in Python.

    Attributes:
        curves: at least one.
        axes: what surrounds them.
        step: see `curves`.
    """

    curves: Sequence[Curve]
    axes: Axes
    step: bool = False

    def svg(self) -> str:
        """For a page."""
        return curves(self.curves, self.axes, step=self.step)


def curves(found: Sequence[Curve], axes: Axes, *, step: bool = False) -> str:
    """A chart of curves, whose values the page tells where a pointer or key moves over it.

    Args:
        found: at least one curve.
        axes: what surrounds them.
        step: whether values hold up to their x from the one before, as shares certified at radii do.
    """
    parts = [_group(place, curve, axes, step=step) for place, curve in enumerate(found)]
    kind = "step" if step else "line"
    attributes = f' data-chart="{kind}" data-range="{axes.x[0]:.9g} {axes.x[1]:.9g}" tabindex="0"'
    return drawn(axes, parts, [curve.name for curve in found], attributes)


def _group(place: int, curve: Curve, axes: Axes, *, step: bool) -> str:
    told = {"x": curve.x, "y": curve.y, "low": curve.low, "high": curve.high}
    data = "".join(f' data-{name}="{_numbers(values)}"' for name, values in told.items() if len(values))
    path = _steps(curve, axes) if step else _line(curve, axes)
    words = escape(shown(curve.name))
    return (
        f'<g class="curve" data-series="{place}" data-name="{words}"{data}>'
        f'<path class="line c{place % NUM_COLOURS}" d="{path}"/></g>'
    )


def _numbers(values: Sequence[float | None]) -> str:
    return " ".join("-" if value is None else f"{value:.5g}" for value in values)


def _steps(curve: Curve, axes: Axes) -> str:
    """Level up to each x, and down there."""
    path = ""
    for x, y in zip(curve.x, curve.y, strict=True):
        if y is not None:
            path += f"V{axes.down(y):.1f}" if path else f"M{axes.across(axes.x[0]):.1f} {axes.down(y):.1f}"
            path += f"H{axes.across(x):.1f}"
    return path


def _line(curve: Curve, axes: Axes) -> str:
    path, pen = "", "M"
    for x, y in zip(curve.x, curve.y, strict=True):
        if y is None:
            pen = "M"
            continue
        path += f"{pen}{axes.across(x):.1f} {axes.down(y):.1f}"
        path += "h0" if pen == "M" else ""  # a point by itself shows as the cap of a line of no length
        pen = "L"
    return path
