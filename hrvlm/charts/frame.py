"""Axes, ticks, grid and key of a chart; all lengths are in the units of the drawing, about a pixel each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hrvlm.trees.words import shortened

WIDTH, PLOT_HEIGHT = 460.0, 200.0
LEFT, RIGHT, TOP = 50.0, 12.0, 26.0
_AXIS_ROOM, _KEY_HEIGHT, _LETTER = 42.0, 20.0, 7.2
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 3", "4 2", "1 2", "6 2 1 2 1 2")
"""Told apart without colours."""
NUM_COLOURS = len(DASHES)


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What a chart has beside its lines or areas.

    Attributes:
        title: above the plot.
        x_label: below it.
        y_label: beside it.
        description: what the chart shows, for those who cannot see it.
        x: lowest and highest value.
        y: lowest and highest value.
        whole: whether x counts something, so that its ticks are whole numbers.
    """

    title: str
    x_label: str
    y_label: str
    description: str
    x: tuple[float, float]
    y: tuple[float, float] = (0.0, 100.0)
    whole: bool = False

    def across(self, value: float) -> float:
        """Where a value lies from the left."""
        low, high = self.x
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / ((high - low) or 1.0)

    def down(self, value: float) -> float:
        """Where a value lies from above."""
        low, high = self.y
        return TOP + PLOT_HEIGHT * (1 - (value - low) / ((high - low) or 1.0))


def drawn(axes: Axes, parts: Sequence[str], names: Sequence[str], attributes: str = "", kind: str = "chart") -> str:
    """A chart as an SVG element.

    Args:
        axes: what surrounds the parts.
        parts: SVG of what is plotted, below the grid's ticks.
        names: words of the key, one per colour.
        attributes: further ones of the element, escaped.
        kind: its class in style sheets.
    """
    key, rows = _key(names)
    height = TOP + PLOT_HEIGHT + _AXIS_ROOM + _KEY_HEIGHT * rows
    label = escape(shown(axes.description, 400))
    return "".join([
        f'<svg class="{kind}" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="group" '
        f'aria-label="{label}"{attributes}>',
        text(LEFT, 15, shown(axes.title), kind="title"),
        *_x_ticks(axes),
        *_y_ticks(axes),
        *parts,
        *key,
        "</svg>",
    ])  # fmt: skip


def shown(name: str, most: int = 44) -> str:
    """A name as a chart shows it."""
    return shortened(name, most)


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "label", more: str = "") -> str:
    """A text of the drawing, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{more}>{escape(words)}</text>'


def ticks(low: float, high: float, most: int = 6, *, whole: bool = False) -> list[float]:
    """Round values from low to high, at most `most` + 1 of them."""
    span = high - low
    if not 0 < span < math.inf:
        return [low]
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(m * size for m in (1, 2, 2.5, 5, 10, 20) if span / (m * size) <= most)
    if whole:
        step = max(1.0, math.ceil(step))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _x_ticks(axes: Axes) -> list[str]:
    base = TOP + PLOT_HEIGHT
    found = [f'<path class="axis" d="M{LEFT:g} {base:g}H{WIDTH - RIGHT:g}"/>']
    for value in ticks(*axes.x, whole=axes.whole):
        at = axes.across(value)
        found.append(f'<path class="axis" d="M{at:.1f} {base:g}v4"/>')
        found.append(text(at, base + 16, f"{value:.6g}", anchor="middle"))
    return [*found, text((LEFT + WIDTH - RIGHT) / 2, base + 33, shown(axes.x_label, 60), anchor="middle")]


def _y_ticks(axes: Axes) -> list[str]:
    found = []
    for value in ticks(*axes.y, most=5):
        at = axes.down(value)
        found.append(f'<path class="grid" d="M{LEFT:g} {at:.1f}H{WIDTH - RIGHT:g}"/>')
        found.append(text(LEFT - 6, at + 4, f"{value:.6g}", anchor="end"))
    middle = TOP + PLOT_HEIGHT / 2
    turned = f' transform="rotate(-90 12 {middle:g})"'
    return [*found, text(12, middle, shown(axes.y_label, 34), anchor="middle", more=turned)]


def _key(names: Sequence[str]) -> tuple[list[str], int]:
    """The words of the key in rows below the plot, each with its colour, and how many rows they take."""
    found, x, row = list[str](), LEFT, 0
    for place, name in enumerate(names):
        words = shown(name, 40)
        width = 30 + _LETTER * len(words)
        if x > LEFT and x + width > WIDTH:
            x, row = LEFT, row + 1
        y = TOP + PLOT_HEIGHT + _AXIS_ROOM + _KEY_HEIGHT * row + 6
        found.append(
            f'<g class="key" data-series="{place}">'
            f'<path class="line c{place % NUM_COLOURS}" d="M{x:.0f} {y:g}h20"/>{text(x + 25, y + 4, words)}</g>'
        )
        x += width
    return found, row + 1 if names else 0
