"""The head of a page: accuracy, attacked and certified, per level, and what the numbers say in plain words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

from rich.table import Table

from hrvlm.certificates.statistics.binomial import clopper_pearson_interval
from hrvlm.reports.page import page_section
from hrvlm.rows.measures import Measured, MeasuredTogether

Level: TypeAlias = tuple[bool, str, int, str]
Column: TypeAlias = tuple[str, str, bool]
"""Heading, measure, and whether it is a share of images."""
MOST_COLUMNS = 12
"""Of measures in a table; more are told in several tables."""
FEW = 100
"""Images below which the reading says that intervals are wide."""


def stage_words(stage: str | None) -> str:
    """The end of a heading for numbers of a stage of training, "before" or "after"; "" for those of none."""
    return "" if stage is None else f", {stage} training"


BEFORE = stage_words("before")
"""Ends headings of numbers that are not about the model of the page, but about what it was trained from."""
MEANS = ("mean certified radius", "mean radius")
_ALPHA = 0.05  # of intervals


@dataclass
class Average:
    """Images that were averaged over, and the sum."""

    count: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """Of a share or a number."""
        return self.total / self.count

    def percent(self) -> str:
        """A share with its exact 95 % interval."""
        low, high = (100 * float(b) for b in clopper_pearson_interval(round(self.total), self.count, _ALPHA))
        return f"{100 * self.mean:.1f} ({low:.1f} to {high:.1f})"


Entry: TypeAlias = tuple[Column, Average]


class Overview:
    """Averages of the measures of a page, per level."""

    def __init__(self) -> None:
        self._found: dict[Column, dict[Level, Average]] = defaultdict(lambda: defaultdict(Average))

    def add(self, heading: str, measured: Iterable[Measured]) -> None:
        """Takes in what a record adds to averages, as `Kind.measures` gives it.

        Args:
            heading: told beside measures that have the same name under several headings.
            measured: of the record; shares and numbers of single changes are left to their sections.
        """
        self.add_together(heading, ((measure, 1, value) for measure, value in measured))

    def add_together(self, heading: str, measured: Iterable[MeasuredTogether]) -> None:
        """Takes in what many records add, see `add`."""
        for measure, count, value in measured:
            name = measure.name
            if name not in MEANS and (measure.unit != "right" or (", " in name and not name.startswith("accuracy"))):
                continue
            level = (measure.level > 0, measure.tree, measure.level, measure.level_name)
            column = (heading, name, measure.unit == "right")
            average = self._found[column][level]
            average.count, average.total = average.count + count, average.total + value

    def section(self, warnings: Iterable[str]) -> dict[str, Any] | None:
        """The section; None where nothing was averaged.

        Args:
            warnings: sentences that a reader must not miss.
        """
        if not self._found:
            return None
        levels = sorted({level for found in self._found.values() for level in found})
        tables = [self._table(levels, columns) for columns in _parts(self._found)]
        first = levels[0]
        told = _headline([(column, averages[first]) for column, averages in self._found.items() if first in averages])
        reading = [(sentence, True) for sentence in warnings]
        reading += [(sentence, False) for sentence in _reading(told, first[3])]
        numbers = [(_short(column, average), f"{self._name(column)}, {first[3]}") for column, average in told]
        return page_section("overview", "Overview", "", [], tables, reading=reading, numbers=numbers)

    def _table(self, levels: Sequence[Level], columns: Sequence[Column]) -> Table:
        table = Table(title="Percent of images, with exact 95 % intervals over images; radii in pixel units (L2)")
        for name in ("tree", "level"):
            table.add_column(name)
        for column in columns:
            table.add_column(self._name(column), justify="right")
        for level in levels:
            table.add_row(level[1], level[3], *(_cell(column, self._found[column].get(level)) for column in columns))
        return table

    def _name(self, column: Column) -> str:
        heading, name, _ = column
        doubled = len({each[0] for each in self._found if each[1] == name}) > 1
        return f"{name} ({heading})" if doubled and heading else name


def _parts(columns: Iterable[Column]) -> list[list[Column]]:
    """Columns of tables that sheets of paper and most screens have room for; those of a heading stay together."""
    parts: list[list[Column]] = [[]]
    for _, group in groupby(columns, key=lambda column: column[0]):
        together = list(group)
        if parts[-1] and len(parts[-1]) + len(together) > MOST_COLUMNS:
            parts.append([])
        parts[-1] += together
    return parts


def _headline(told: Sequence[Entry]) -> list[Entry]:
    """Undisturbed, under the strongest attack, certified at the largest radius at which anything is, and the mean.

    Undisturbed is what most images say. Of a training run, all is that of its end.
    """
    told = [entry for entry in told if not entry[0][0].endswith(BEFORE)] or told
    undisturbed = [entry for entry in told if entry[0][1] == "clean" or entry[0][1].startswith("accuracy")]
    found = sorted(undisturbed, key=lambda entry: entry[1].count)[-1:]
    found += sorted((entry for entry in told if entry[0][1].startswith("under ")), key=lambda entry: entry[1].mean)[:1]
    certified = [entry for entry in told if entry[0][1].startswith("certified at ") and entry[1].total > 0]
    found += sorted(certified, key=lambda entry: float(entry[0][1].split()[2]))[-1:]
    return found + [entry for entry in told if entry[0][1] in MEANS][:1]


def _reading(told: Sequence[Entry], level: str) -> list[str]:
    """What the headline of a level says."""
    said = [_sentence(column, average, level) for column, average in told]
    fewest = min((average.count for _, average in told), default=FEW)
    if fewest < FEW:
        said.append(f"Some numbers are over {fewest} images only: see the intervals before comparing anything.")
    return [sentence for sentence in said if sentence]


def _cell(column: Column, average: Average | None) -> str:
    if average is None:
        return ""
    return average.percent() if column[2] else f"{average.mean:.3f}"


def _short(column: Column, average: Average) -> str:
    return f"{100 * average.mean:.1f} %" if column[2] else f"{average.mean:.3f}"


def _sentence(column: Column, average: Average, level: str) -> str:
    """A measure in plain words; "" for what the table tells well enough."""
    heading, name, is_share = column
    if not is_share:
        return ""
    share, where = f"{average.percent()} percent of {average.count} images", f" ({heading})" if heading else ""
    if name.startswith(("clean", "accuracy")):
        return f"Undisturbed, the classifier of level {level} is right on {share}{where}."
    if name.startswith("under "):
        return f"{name.capitalize()} it stays right on {share}{where}; a stronger attack may break more."
    if name.startswith("certified at ") and float(name.split()[2]) > 0:
        return (
            f"On {share} the smoothed classifier is right, and certified to stay so however the picture is changed by "
            f"less than {name.split()[2]} in L2{where}."
        )
    return ""
