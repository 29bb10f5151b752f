"""What all records have in common: frozen, one flat row of JSON values each.

A row holds the record's kind and schema version; an unknown or missing key is an error, never a default, but for keys
that were added to the schema after the row was written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Literal, Self

from hrvlm.rows.lines import line_of
from hrvlm.rows.strict import strict_reader

SCHEMA = 1
Row = dict[str, Any]
Key = tuple[str | int, ...]
FunctionsChosen = Literal["before", "after"]
"""Whether prompts, trees and levels were fixed before any result on the same noise was seen."""

_ROW_FIELDS: dict[type[Any], tuple[Field[Any], ...]] = {}

NAMED_BY = {True: "label", False: "prediction"}
"""What names an image in prompts, by whether it has a label."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every record says about its image and statement.

    Attributes:
        index: dataset index of the image.
        label: true label at this level; null where the image has none.
        tree: name of the class tree.
        level: 0 for the leaves, growing towards the root.
        level_name: name of the level.
        prediction: certified class at this level; -1 where there is none.
        correct: whether the prediction is the true label; null where the image has none.
        reason: why less is claimed than usual, or None.
    """

    kind: ClassVar[str] = ""
    added: ClassVar[frozenset[str]] = frozenset()
    """Fields added to the schema later: rows without them were made when their defaults were all there was."""
    unsaid: ClassVar[frozenset[str]] = frozenset({"noise_shared", "invalid_selection"})
    """Those of them that rows leave out while they have their default."""
    unknown: ClassVar[Mapping[str, Any]] = {"label": -1, "correct": False}
    """Fields that rows of an image without a true label hold null in, all or none, and what records have there."""
    limits: ClassVar[Mapping[str, Any]] = {}
    """Types of fields that rows of this kind hold to, where they are narrower than `hrvlm.rows.fields` has them."""
    order: ClassVar[tuple[str, ...]] = ()
    """Order in which rows have the fields of the kind, behind those below; that of the class if empty."""

    index: int
    label: int
    tree: str
    level: int
    level_name: str
    prediction: int
    correct: bool
    reason: str | None

    def to_row(self) -> Row:
        """Flat mapping of JSON values with kind and schema.

        Raises:
            ValueError: if a number is not finite, which JSON cannot hold.
        """
        ordered = row_fields(type(self))
        row: Row = {"kind": self.kind, "schema": SCHEMA} | {field.name: getattr(self, field.name) for field in ordered}
        for field in ordered:
            if field.name in self.unsaid and row[field.name] == field.default:
                del row[field.name]
        if not self.labelled:
            row |= dict.fromkeys(self.unknown)
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"expected a finite {name} in the record of image {self.index}, got {value}")
        return row

    def to_line(self) -> str:
        """The line of `to_row`, without its end; what it raises."""
        return line_of(self.to_row())

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The record of a row.

        Raises:
            RowError: if the kind or schema differs, keys are unknown or missing, or a value is none of its field.
        """
        return strict_reader(cls, SCHEMA).of_row(row)

    @property
    def key(self) -> Key:
        """What identifies the statement within one run."""
        return (self.kind, self.index, self.tree, self.level)

    @property
    def labelled(self) -> bool:
        """Whether the true label is known."""
        return self.label >= 0

    @property
    def names_leaf(self) -> bool:
        """Whether `label` is the image's own leaf of a class tree."""
        return self.level == 0

    @property
    def not_finite(self) -> bool:
        """Whether nothing is claimed because the image itself, without noise, has a score that is not finite."""
        return False

    def slim(self) -> Self:
        """The record without what only verifying needs."""
        return self


def statement(record: Record) -> Key:
    """What a record states of its image, from its key."""
    return record.key[2:]


def row_fields(kind: type[Any]) -> tuple[Field[Any], ...]:
    """The fields of a record in the order of its rows, see `Record.order`.

    Args:
        kind: a dataclass.
    """
    if kind not in _ROW_FIELDS:
        places = {name: place for place, name in enumerate(getattr(kind, "order", ()))}
        _ROW_FIELDS[kind] = tuple(sorted(fields(kind), key=lambda field: places.get(field.name, -1)))
    return _ROW_FIELDS[kind]


def is_right(prediction: int, label: int) -> bool:
    """Whether a prediction is the true label; -1 stands for none, on either side."""
    return 0 <= prediction == label


def named_so(named_by: str) -> str:
    """What the words of a claim add where the class that is predicted names the image in its prompts."""
    return "" if named_by == NAMED_BY[True] else " (named by the predicted class, as no label is known)"


def not_covered(functions_chosen: str, noise_shared: bool = False) -> str:
    """What the words of a claim add where alpha does not cover the choice of its prompts, or of the model's epoch."""
    epochs = (
        " Other epochs of the run met the same noise: alpha does not cover the choice of this one by such results; "
        "certify the chosen one with noise of another seed."
    )
    said = epochs if noise_shared else ""
    if functions_chosen == "before":
        return said
    return said + (
        " Its prompts, tree or level were chosen after results on the same noise had been seen, which alpha does not "
        "cover: as it stands this is an exploration; certify it with noise of another seed."
    )
