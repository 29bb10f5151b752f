"""Level bars of means in percent, with a second value as a mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hrvlm.charts.frame import WIDTH, shown, text

_TOP, _ROW, _RIGHT = 26.0, 24.0, 96.0
_LETTER, _MOST = 6.9, 28  # width of a letter, and how many of a name are shown


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
    left = 12 + _LETTER * max(len(shown(bar.name, _MOST)) for bar in found)
    parts = [text(12, 15, shown(title), kind="title")]
    for place, bar in enumerate(found):
        parts += _bar(bar, left, _TOP + _ROW * place)
    for value in (0, 50, 100):
        parts.append(text(_across(value, left), base + 15, f"{value}", anchor="middle"))
    parts.append(text(left, base + 34, x_label))
    parts.append(text(left, base + 52, f"bar: {names[0]}" + (f", line: {names[1]}" if len(names) > 1 else "")))
    return (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {base + 60:g}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )


def _across(percent: float, left: float) -> float:
    return left + (WIDTH - left - _RIGHT) * percent / 100


def _bar(bar: Bar, left: float, top: float) -> list[str]:
    length = max(0.0, _across(bar.value, left) - left)
    told = f"{bar.value:.1f}" + ("" if bar.mark is None else f" / {bar.mark:.1f}")
    found = [
        text(left - 6, top + 15, shown(bar.name, _MOST), anchor="end"),
        f'<rect class="f0" x="{left:.1f}" y="{top + 3:.1f}" width="{length:.1f}" height="16"/>',
        text(_across(max(bar.value, bar.mark or 0), left) + 5, top + 15, told),
    ]
    if bar.mark is not None:
        found.append(f'<path class="mark" d="M{_across(bar.mark, left):.1f} {top + 1:.1f}v20"/>')
    return found
