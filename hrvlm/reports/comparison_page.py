"""Models side by side as a page: curves over the radii, a curve per model, and the tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.table import Table

from hrvlm.charts.frame import Axes
from hrvlm.charts.lines import Chart, Curve
from hrvlm.evaluation.comparison import Comparison
from hrvlm.reports.page import page_section, render_page

CERTIFIED = "certified at "


def comparison_page(
    comparison: Comparison, tables: Sequence[Table], said: Sequence[str], settings: Mapping[str, Any]
) -> str:
    """The page of a comparison.

    Args:
        comparison: what is told.
        tables: one per heading, which loses its title to the section.
        said: what the numbers are, in sentences.
        settings: what else the page shall tell, such as the folders.
    """
    headings = [heading for heading, _ in groupby(comparison.lines, lambda line: line.heading)]
    sections = []
    for number, (heading, table) in enumerate(zip(headings, tables, strict=True)):
        table.title = None
        drawn = [chart.svg() for chart in over_radii(comparison, heading)]
        sections.append(page_section(f"tables-{number}", heading, "", drawn, [table]))
    title = f"Comparison: {', '.join(comparison.names)}"
    return render_page(title=title, subtitle=" ".join(said), sections=sections, settings=settings)


def over_radii(comparison: Comparison, heading: str) -> list[Chart]:
    """A chart per level of what is certified at several radii; radii are those that were compared.

    Args:
        comparison: what is told.
        heading: of a kind of certificate.
    """
    levels: dict[tuple[str, int, str], dict[float, tuple[float | None, ...]]] = defaultdict(dict)
    for line in comparison.lines:
        name, measure = line.measure.name, line.measure
        radius = name.removeprefix(CERTIFIED)
        if line.heading == heading and name.startswith(CERTIFIED) and radius.replace(".", "", 1).isdigit():
            levels[measure.tree, measure.level, measure.level_name][float(radius)] = line.means
    return [_chart(comparison.names, place, found) for place, found in levels.items() if len(found) > 1]


def _chart(
    names: tuple[str, ...], place: tuple[str, int, str], found: Mapping[float, tuple[float | None, ...]]
) -> Chart:
    radii = sorted(found)
    title = place[2] if place[1] == 0 else f"{place[0]}/{place[2]}"
    told = []
    for number, name in enumerate(names):
        means = [found[radius][number] for radius in radii]
        told.append(Curve(name, radii, [None if mean is None else 100 * mean for mean in means]))
    axes = Axes(
        title=title, x_label="L2 radius in pixel units", y_label="certified in percent", x=(radii[0], radii[-1]),
        description=f"Percent of images certified over the radius at level {title}, of {', '.join(names)}",
    )  # fmt: skip
    return Chart(told, axes)
