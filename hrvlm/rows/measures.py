"""What a row says of its image as numbers whose averages tell models apart, such as whether it is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hrvlm.rows.record import Record

Unit = Literal["right", "share", "number"]
"""0 or 1 per image, told in percent; a share of something per image, likewise; any number."""
ALL = "(all)"
"""In place of a tree's name: trees share their leaves."""


@dataclass(frozen=True, order=True)
class Measure:
    """An average over images.

    Attributes:
        tree: class tree, `ALL` for leaves that all trees share; or whatever else is evaluated.
        level: 0 for the leaves.
        level_name: its name.
        name: what is averaged.
        unit: what it is of a single image.
    """

    tree: str
    level: int
    level_name: str
    name: str
    unit: Unit


Measured: TypeAlias = tuple[Measure, float]
"""What is averaged, and what an image adds to it."""
MeasuredTogether: TypeAlias = tuple[Measure, int, float]
"""What is averaged, how many images add to it, and their sum."""


def measured(record: Record, values: Iterable[tuple[str, Unit, float]], *, own_leaves: bool = False) -> list[Measured]:
    """Values of a record of a level.

    Args:
        record: of any kind with a class tree.
        values: name, unit and value of each.
        own_leaves: whether leaves of different trees are told apart.
    """
    tree = record.tree if record.level or own_leaves else ALL
    return [(Measure(tree, record.level, record.level_name, name, unit), value) for name, unit, value in values]


def certified_at(
    radii: Iterable[float], radius: float, *, of_right_class: bool = True
) -> Iterator[tuple[str, Unit, float]]:
    """Whether what is certified up to a radius is so at each of some radii, and the radius itself.

    Args:
        radii: L2 radii in pixel units.
        radius: largest certified radius, negative for none.
        of_right_class: whether it counts only where the class is right, else whatever the class.
    """
    certified, mean = ("certified", "mean certified radius") if of_right_class else ("certified label", "mean radius")
    yield from ((f"{certified} at {asked:g}", "right", float(radius >= asked)) for asked in radii)
    yield mean, "number", max(radius, 0.0)
