"""The table of images of a page, column by column: what every level says of every image, in few bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.report import Change, Judged
from hrvlm.rows.table import RecordTable
from hrvlm.trees.words import printable

Place: TypeAlias = tuple[str, str, int, str, str]
"""Heading, tree, level, its name, and what else tells a column from others."""


@dataclass(slots=True)
class _View:
    """A level under one heading: per index of an image what is told of it."""

    unit: str
    names: str
    cells: dict[int, tuple[int, int, bool]] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def add(self, index: int, judged: Judged) -> None:
        abstained = self.cells.get(index, (0, 0, True))[2] and judged.abstain
        self.cells[index] = (judged.label, judged.prediction, abstained)
        if judged.value is not None:
            self.values[index] = self.values.get(index, 0.0) + judged.value
            self.counts[index] = self.counts.get(index, 0) + 1
        if judged.text is not None:
            self.texts[index] = judged.text


@dataclass(slots=True)
class _Table:
    """The same of a table of records, one for each image."""

    unit: str
    names: str
    records: RecordTable[Any]
    value: str


class ImageColumns:
    """Collects what records say of their images, and gives it as JSON values."""

    def __init__(self) -> None:
        self._views: dict[Place, _View] = {}
        self._tables: dict[Place, _Table] = {}
        self._changes: dict[tuple[Place, str], dict[int, str]] = defaultdict(dict)
        self._known: dict[str, dict[int, str]] = defaultdict(dict)
        self._used: dict[str, set[int]] = defaultdict(set)
        self.indices: set[int] = set()

    def add(self, heading: str, unit: str, index: int, cells: Iterable[Judged], change: Change | None = None) -> bool:
        """Takes in a record, and tells whether it is the first about one of its cells.

        Args:
            heading: of its kind.
            unit: what its value is.
            index: of its image.
            cells: what it says of levels.
            change: its bar, which belongs to the last of them.
        """
        first = False
        for judged in cells:
            place = (heading, judged.tree, judged.level, judged.level_name, judged.about)
            view = self._views.get(place)
            if view is None:
                names = printable(f"{judged.tree}/{judged.level}" + (f"/{judged.about}" if judged.names else ""))
                view = self._views[place] = _View(unit, names)
            first |= index not in view.cells
            view.add(index, judged)
            self.indices.add(index)
            used = self._used[view.names]
            used.add(judged.label)
            used.add(judged.prediction)
            if judged.names:
                self._known[view.names].update(judged.names)
            if change is not None:
                self._changes[place, change.change][index] = _encoded(change, judged.prediction)
                used.update(label for _, label in change.intervals)
        return first

    def add_table(self, heading: str, unit: str, value: str, records: RecordTable[Any]) -> None:
        """Takes in a table of records of one kind, one cell each; the kind has no other records.

        Args:
            heading: of its kind.
            unit: what its value is.
            value: field that is the value.
            records: one for each image and level.
        """
        for (tree, level, name), group in records.groups("tree", "level", "level_name").items():
            table = _Table(unit, printable(f"{tree}/{level}"), group, value)
            self._tables[heading, tree, level, name, ""] = table
            self.indices |= group.distinct("index")
            self._used[table.names] |= group.distinct("label") | group.distinct("prediction")

    def to_json(
        self,
        name: Callable[[str, int, int], str | None],
        path: Callable[[int], str | None],
        pictures: Mapping[int, str],
        parents: Mapping[tuple[str, int], Sequence[int]],
    ) -> dict[str, Any]:
        """The columns, aligned with "index"; what has no row is null.

        Args:
            name: words for a class of (tree, level), or None.
            path: file of an image, or None.
            pictures: small pictures as links that hold their data.
            parents: per (tree, level) the node of the next level that each node lies in.
        """
        order = sorted(self.indices)
        paths = [path(index) for index in order]
        views = self._views | self._tables
        headings = list(dict.fromkeys(place[0] for place in views))
        places = sorted(views, key=lambda place: (headings.index(place[0]), *_leaves_first(place)))
        at = {place: number for number, place in enumerate(places)}
        return {
            "index": order,
            "path": [printable(found or "") for found in paths] if any(paths) else None,
            "pictures": [pictures.get(index, 0) for index in order] if pictures else None,
            "views": [_columns(place, views[place], order) for place in places],
            "names": {names: self._words(names, place, name) for names, place in self._named().items()},
            "changes": [
                {"view": at[place], "change": printable(change), "about": printable(place[4]),
                 "rows": [rows.get(index) for index in order]}
                for (place, change), rows in sorted(self._changes.items())
            ],
            "parents": {f"{printable(tree)}/{level}": list(found) for (tree, level), found in parents.items()},
        }  # fmt: skip

    def _named(self) -> dict[str, Place]:
        return {view.names: place for place, view in (self._views | self._tables).items()}

    def _words(self, names: str, place: Place, name: Callable[[str, int, int], str | None]) -> dict[int, str]:
        known = self._known[names]
        found = {label: known.get(label) or name(place[1], place[2], label) for label in sorted(self._used[names])}
        return {label: printable(words) for label, words in found.items() if words is not None and label >= 0}


def _leaves_first(place: Place) -> tuple[Any, ...]:
    _, tree, level, name, about = place
    return not about.startswith("clean"), about, level > 0, tree, level, name


def _columns(place: Place, view: _View | _Table, order: Sequence[int]) -> dict[str, Any]:
    heading, tree, level, name, about = place
    return {
        "heading": heading, "tree": printable(tree), "level": level, "name": printable(name), "about": printable(about),
        "unit": view.unit, "names": view.names,
    } | (_of_view(view, order) if isinstance(view, _View) else _of_table(view, order))  # fmt: skip


def _of_view(view: _View, order: Sequence[int]) -> dict[str, Any]:
    cells = [view.cells.get(index) for index in order]
    found: dict[str, Any] = {
        "label": [None if cell is None else cell[0] for cell in cells],
        "prediction": [None if cell is None else cell[1] for cell in cells],
        "abstained": [0 if cell is None else int(cell[2]) for cell in cells],
        "value": [_short(view, index) for index in order],
    }
    return found | ({"texts": [printable(view.texts.get(index, "")) for index in order]} if view.texts else {})


def _of_table(view: _Table, order: Sequence[int]) -> dict[str, Any]:
    at = np.searchsorted(np.array(order), view.records.column("index"))
    values, number = np.unique(view.records.column(view.value), return_inverse=True)
    value = np.array([_digits(each) for each in values.tolist()])[number]

    def placed(column: NDArray[Any], lacking: Any) -> list[Any]:
        """A column in order, with something where there is no record."""
        found: list[Any] = [lacking] * len(order)
        for place, each in zip(at.tolist(), column.tolist(), strict=True):
            found[place] = each
        return found

    return {
        "label": placed(view.records.column("label"), None),
        "prediction": placed(view.records.column("prediction"), None),
        "abstained": placed(view.records.column("abstain").astype(np.int64), 0),
        "value": placed(value, None),
    }


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _short(view: _View, index: int) -> float | None:
    count = view.counts.get(index)
    return None if count is None else _digits(view.values[index] / count)


def _encoded(change: Change, prediction: int) -> str:
    """The bar in few letters.

    Nothing for the prediction all the way, "-" for no certificate, else ends in per mille with classes; after "|" the
    rates with the stretches.
    """
    if not change.intervals:
        words = "-"
    elif all(label == prediction for _, label in change.intervals):
        words = ""
    else:
        words = ";".join(f"{round(1000 * end)} {label}" for end, label in change.intervals)
    rates = ";".join(f"{rate:g} {round(1000 * share)}" for rate, share in change.stretches)
    return f"{words}|{rates}" if rates else words
