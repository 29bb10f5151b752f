"""Averages over the images whose true label is known, and what is told where some have none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, TypeVar

from hrvlm.rows.record import Record

R = TypeVar("R", bound=Record)


def labelled(records: Sequence[R]) -> list[R]:
    """The records of images with a label."""
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


def decimal(number: float | None) -> str:
    """A number for a cell of a table, which stays empty where there is none."""
    return "" if number is None else f"{number:.3f}"
