"""Images that are verified together: what is said of them, and in which order it is told with those verified alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from hrvlm.rows.agreement import Agreement, Problem
from hrvlm.rows.images import Found
from hrvlm.rows.table import RecordTable

R = TypeVar("R")


@dataclass(frozen=True)
class Verdict(Generic[R]):
    """What was verified of many images together.

    Attributes:
        kind: of their rows.
        places: per image where its records are in the table; None for images that must be verified alone.
        table: records.
        problems: what the rows of a run do not say alike.
        indices: of the images that were verified.
    """

    kind: str
    places: list[slice | None]
    table: RecordTable[R] | None = None
    problems: list[Problem] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)


class VerifiesTogether(Protocol[R]):
    """Verifies many images together whose rows differ in numbers from rows that were verified alone."""

    def verified(self, images: Sequence[list[Found]]) -> Verdict[R]:
        """What can be verified so."""

    def learn(self, records: Sequence[R]) -> None:
        """Takes note of the records of an image in which nothing was found."""


class MakesTogether(Protocol):
    """Makes what verifies images together, one for each kind of rows that can be."""

    def __call__(self, common: Agreement, data_size: int | None, *, complete: bool) -> Sequence[VerifiesTogether[Any]]:
        """Of what rows have in common, of how many images there are, and whether all have the same statements."""


def none_together(common: Agreement, data_size: int | None, *, complete: bool) -> Sequence[VerifiesTogether[Any]]:
    """Verifies no images together."""
    return ()


def runs(
    images: Sequence[list[Found]], verdicts: Sequence[Verdict[R]]
) -> Iterator[tuple[list[list[Found]], RecordTable[R] | None]]:
    """Images in their order: those to be verified alone, then the records of those behind them that were not."""
    alone, verdict, part = list[list[Found]](), None, slice(0, 0)
    for at, image in enumerate(images):
        own = next((each for each in verdicts if each.places[at] is not None), None)
        place = None if own is None else own.places[at]
        if part.stop > part.start and (own is not verdict or place is None or place.start != part.stop):
            yield alone, _records(verdict, part)
            alone, part = [], slice(0, 0)
        if place is None:
            alone.append(image)
        else:
            verdict, part = own, slice(part.start if part.stop > part.start else place.start, place.stop)
    yield alone, _records(verdict, part)


def _records(verdict: Verdict[R] | None, part: slice) -> RecordTable[R] | None:
    table = None if verdict is None else verdict.table
    return None if table is None or part.stop <= part.start else table[part]
