"""Images whose rows are verified together, by what their rows are like."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_LEAF = -2


@dataclass(eq=False)
class Family:
    """Patterns of the rows of an image, in their order.

    Attributes:
        sound: whether such rows never contradict each other.
        leaf: place of the row whose label is the image's leaf, -1 where there is none.
        named: what they state of their image, in order.
    """

    sound: bool
    leaf: int
    named: tuple[Hashable, ...]


@dataclass
class Images:
    """Images of a table.

    Attributes:
        starts: `(M,)` their first rows.
        lengths: `(M,)` how many rows they have.
        families: of their rows.
        sound: `(M,)` whether they are.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    families: list[Family]
    sound: NDArray[np.bool_]

    def leaves(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Their leaves `(M,)`, `NO_LEAF` where no row names them, from the labels of their rows."""
        place = np.array([family.leaf for family in self.families])
        return np.where(place >= 0, labels[self.starts + np.maximum(place, 0)], NO_LEAF)

    def by_family(self) -> Iterator[tuple[Family, NDArray[np.int64]]]:
        """Each family of sound images, and the last rows of these."""
        numbers = dict[int, int]()
        of = np.array([numbers.setdefault(id(family), at) for at, family in enumerate(self.families)])
        images = np.flatnonzero(self.sound)
        for at, part in parts(of[images]):
            yield self.families[at], (self.starts + self.lengths - 1)[images[part]]


def parts(values: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Every value, and where it is."""
    order = np.argsort(values, kind="stable")
    ends = [*(np.flatnonzero(np.diff(values[order])) + 1).tolist(), len(order)] if len(order) else []
    for start, end in zip([0, *ends], ends, strict=False):
        yield int(values[order[start]]), order[start:end]


def coded(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for what stands in several columns."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        found, at = np.unique(column, return_inverse=True)
        code = code * len(found) + at
    return code
