"""Stacked areas: how shares of a whole change."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import accumulate

from hrvlm.charts.frame import NUM_COLOURS, Axes, drawn, shown
from hrvlm.charts.lines import Curve


def areas(layers: Sequence[Curve], axes: Axes) -> str:
    """A chart of layers upon each other, steps of shares in percent, from the bottom.

    Args:
        layers: with the same x, rising, and no gaps.
        axes: what surrounds them.
    """
    x = layers[0].x if layers else ()
    sums = list(accumulate(([value or 0.0 for value in layer.y] for layer in layers), _added))
    below = [[0.0] * len(x), *sums]
    parts = []
    for place, layer in enumerate(layers):
        numbers = " ".join(f"{value or 0.0:.5g}" for value in layer.y)
        grid = " ".join(f"{value:.6g}" for value in x)
        path = _edge(x, below[place + 1], axes) + _edge(x, below[place], axes, back=True) + "Z"
        parts.append(
            f'<g class="curve" data-series="{place}" data-name="{escape(shown(layer.name))}" data-x="{grid}" '
            f'data-y="{numbers}"><path class="area f{place % NUM_COLOURS}" d="{path}"/></g>'
        )
    attributes = f' data-chart="area" data-range="{axes.x[0]:.9g} {axes.x[1]:.9g}" tabindex="0"'
    return drawn(axes, parts, [layer.name for layer in layers], attributes, "chart stacked")


def _added(one: list[float], other: list[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _edge(x: Sequence[float], y: Sequence[float], axes: Axes, *, back: bool = False) -> str:
    """The steps of a border from left to right, or back."""
    start = axes.x[0]
    corners = [point for k, value in enumerate(y) for point in ((x[k - 1] if k else start, value), (x[k], value))]
    if back:
        corners.reverse()
    words = [f"{axes.across(a):.1f} {axes.down(b):.1f}" for a, b in corners]
    return ("L" if back else "M") + "L".join(words)
