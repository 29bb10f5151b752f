"""Level bars of means in percent, with a second value as a mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hrvlm.charts.frame import WIDTH, shown, text

_LEFT, _TOP, _ROW = 150.0, 26.0, 24.0


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        name: before it.
        value: its length, in percent.
        mark: a second value, in percent, as a line across; None for none.
    """

    name: str
    value: float
    mark: float | None = None


def bars(found: Sequence[Bar], *, title: str, x_label: str, names: Sequence[str]) -> str:
    """A chart of bars from 0 to 100 percent, their values written beside them.

    Args:
        found: at least one bar.
        title: above them.
        x_label: below them.
        names: what the bars are, and what the marks are if there are any.
    """
    base = _TOP + _ROW * len(found)
    words = ", ".join(f"{bar.name} {bar.value:.1f}" for bar in found)
    label = escape(shown(f"{title}, {x_label}: {words}", 400))
    parts = [text(12, 15, shown(title), kind="title")]
    for place, bar in enumerate(found):
        parts += _bar(bar, _TOP + _ROW * place)
    for value in (0, 50, 100):
        parts.append(text(_across(value), base + 15, f"{value}", anchor="middle"))
    parts.append(text(_across(50), base + 32, x_label, anchor="middle"))
    parts.append(text(_LEFT, base + 52, f"bar: {names[0]}" + (f", line: {names[1]}" if len(names) > 1 else "")))
    return (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {base + 60:g}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )


def _across(percent: float) -> float:
    return _LEFT + (WIDTH - _LEFT - 96) * percent / 100


def _bar(bar: Bar, top: float) -> list[str]:
    length = max(0.0, _across(bar.value) - _LEFT)
    told = f"{bar.value:.1f}" + ("" if bar.mark is None else f" / {bar.mark:.1f}")
    found = [
        text(_LEFT - 6, top + 15, shown(bar.name, 21), anchor="end"),
        f'<rect class="f0" x="{_LEFT:g}" y="{top + 3:.1f}" width="{length:.1f}" height="16"/>',
        text(max(_across(bar.value), _across(bar.mark or 0)) + 5, top + 15, told),
    ]
    if bar.mark is not None:
        found.append(f'<path class="mark" d="M{_across(bar.mark):.1f} {top + 1:.1f}v20"/>')
    return found
