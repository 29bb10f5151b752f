"""Models side by side in tables, files and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.table import Table

from hrvlm.evaluation.comparison import Comparison, Line
from hrvlm.evaluation.paired import Difference
from hrvlm.reports.plain_forms import latex, markdown, spreadsheet_text
from hrvlm.rows.measures import Unit

FORMS = ("csv", "md", "tex", "html")
"""Endings of the files that a comparison can be written as."""
_CSV = (
    "heading", "tree", "level", "level_name", "measure", "unit", "images", "model", "mean", "difference_from",
    "difference", "low", "high", "p_value",
)  # fmt: skip


def comparison_tables(comparison: Comparison) -> list[Table]:
    """One table per heading: a line per average, and per model its value and its difference from the first model."""
    return [
        _table(comparison, heading, list(lines)) for heading, lines in groupby(comparison.lines, lambda x: x.heading)
    ]


def _table(comparison: Comparison, heading: str, lines: Sequence[Line]) -> Table:
    table = Table(title=heading, title_justify="left", caption_justify="left")
    for name in ("tree", "level", "measure"):
        table.add_column(name)
    table.add_column("images", justify="right")
    for place, name in enumerate(comparison.names):
        table.add_column(name, justify="right")
        if place:
            table.add_column("difference", justify="right")
    for line in lines:
        measure = line.measure
        cells = [measure.tree, measure.level_name, measure.name, str(line.images)]
        for place, (mean, difference) in enumerate(zip(line.means, line.differences, strict=True)):
            cells.append("" if mean is None else _number(mean, measure.unit))
            cells += [_difference(difference, measure.unit)] * bool(place)
        table.add_row(*cells)
    return table


def _number(value: float, unit: Unit, sign: str = "") -> str:
    return f"{value:{sign}.4f}" if unit == "number" else f"{100 * value:{sign}.1f}"


def _difference(found: Difference | None, unit: Unit) -> str:
    if found is None:
        return ""
    told = _number(found.estimate, unit, "+")
    if found.low is None or found.high is None:
        return told
    return f"{told} ({_number(found.low, unit, '+')} to {_number(found.high, unit, '+')})"


def explanation(comparison: Comparison) -> list[str]:
    """What the numbers are, in sentences."""
    return [
        "Shares are in percent, radii and extents in their own units; each line is over the images that all its models "
        "have rows of.",
        f"Differences are from {comparison.names[0]}, on the same images, with {100 * comparison.confidence:g} % "
        "intervals over images, each by itself: of accuracies and certified accuracies Newcombe's square-and-add "
        "interval for paired proportions (1998, method 10), of means the percentile bootstrap over pairs; none where "
        "all pairs differ by the same.",
        *comparison.remarks,
    ]


def rendered(comparison: Comparison, form: str, settings: Mapping[str, Any]) -> str:
    """A comparison as the text of a file.

    Args:
        comparison: what is told.
        form: one of `FORMS`.
        settings: what else a page shall tell, such as the folders.
    """
    if form == "csv":
        return _csv(comparison)
    tables, said = comparison_tables(comparison), explanation(comparison)
    if form == "html":
        from hrvlm.reports.comparison_page import comparison_page  # which the other forms need not wait for

        return comparison_page(comparison, tables, said, settings)
    tables[-1].caption = " ".join(said)
    return "\n".join(map(markdown if form == "md" else latex, tables))


def _csv(comparison: Comparison) -> str:
    """One line per average and model, with McNemar's exact p-value of differences of accuracies."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV)
    for line in comparison.lines:
        measure = line.measure
        place = (line.heading, measure.tree, measure.level, measure.level_name, measure.name, measure.unit, line.images)
        for name, mean, found in zip(comparison.names, line.means, line.differences, strict=True):
            if mean is not None:
                numbers = (comparison.names[0], found.estimate, found.low, found.high, found.p_value) if found else ()
                texts = [spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in (*place, name, mean)]
                writer.writerow([*texts, *map(_cell, numbers), *[""] * (5 - len(numbers))])
    return out.getvalue()


def _cell(value: Any) -> Any:
    return spreadsheet_text(value) if isinstance(value, str) else "" if value is None else value
