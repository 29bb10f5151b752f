"""Averages over the images whose true label is known, and what is told where some have none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, TypeVar, overload

from hrvlm.rows.record import Record
from hrvlm.rows.table import RecordTable

R = TypeVar("R", bound=Record)


@overload
def labelled(records: RecordTable[R]) -> RecordTable[R]: ...
@overload
def labelled(records: Sequence[R]) -> Sequence[R]: ...
def labelled(records: Sequence[R]) -> Sequence[R]:
    """The records of images with a label; of a table a table."""
    if isinstance(records, RecordTable):
        return records.where(records.column("label") >= 0)
    return [record for record in records if record.labelled]


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    found = list(values)
    return fmean(found) if found else None


def without_labels(records: Sequence[Record], **numbers: Any) -> dict[str, Any]:
    """How many images have a label, and further numbers; nothing where all have one, as summaries always were.

    Args:
        records: one per image.
        **numbers: what is told besides of images whatever their class.
    """
    known = len(labelled(records))
    return {} if known == len(records) else {"labelled_images": known, **numbers}


def percent(share: float | None) -> str:
    """A share for a cell of a table, which stays empty where there is none."""
    return "" if share is None else f"{100 * share:.1f}"


def at_radius(radius: float | str) -> str:
    """A column's head for an L2 radius, or the key that a summary has for it."""
    return f"r={float(radius):g}"


def decimal(number: float | None) -> str:
    """A number for a cell of a table, which stays empty where there is none."""
    return "" if number is None else f"{number:.3f}"
