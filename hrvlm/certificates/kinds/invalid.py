"""How much of a run was no number: noisy copies and pictures without finite scores, counted as none of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hrvlm.rows.record import Record
from hrvlm.rows.table import RecordTable


class InvalidCount:
    """Counts over the records of a run, image by image.

    A copy that has no label at one level or for one kind of certificate counts once: of all records of an image the one
    with the most invalid copies tells.
    """

    def __init__(self) -> None:
        self._copies: dict[int, int] = {}
        self._pictures: set[int] = set()

    def add(self, record: Record) -> None:
        """Count a record."""
        if copies := _copies(record):
            self._copies[record.index] = max(copies, self._copies.get(record.index, 0))
        if record.not_finite:
            self._pictures.add(record.index)

    def add_all(self, records: Sequence[Record]) -> None:
        """Count records; of a table those that can count at all."""
        if isinstance(records, RecordTable):
            told = [number for number, example in enumerate(records.examples) if _told(example)]
            records = records.where(np.isin(records.which, told))
        for record in records:
            self.add(record)

    def summary(self) -> dict[str, Any]:
        """`{"invalid": {"copies", "images", "pictures"}}`: copies, of how many images, and images that are invalid.

        Empty where all was finite.
        """
        if not self._copies and not self._pictures:
            return {}
        copies = sum(self._copies.values())
        return {"invalid": {"copies": copies, "images": len(self._copies), "pictures": len(self._pictures)}}


def _copies(record: Record) -> int:
    found: int = getattr(record, "invalid", 0) + getattr(record, "invalid_selection", 0)
    return found


def _told(record: Record) -> bool:
    return record.not_finite or _copies(record) > 0


def invalid_sentences(summary: dict[str, Any]) -> list[str]:
    """What a reader of a summary must know of it."""
    found, said = summary.get("invalid"), []
    if found and found["copies"]:
        said.append(
            f"{found['copies']} noisy copies of {found['images']} images had scores that are not finite (NaN or "
            "infinity): they count for no class, so less is certified. Check weights, sigma and precision."
        )
    if found and found["pictures"]:
        said.append(
            f"{found['pictures']} images had a score or angle that is not finite (NaN or infinity): their semantic "
            "rows certify nothing. Check the weights."
        )
    return said
