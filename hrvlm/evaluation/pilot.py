"""How sure a model is under noise, by the rows of a small run: the law that samples are planned by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hrvlm.certificates.kinds.registry import kind_named, read_rows, record_from_row
from hrvlm.certificates.planning.laws import ProbabilityLaw, pilot_law


def law_of_pilot(path: Path, tree: str | None, level: int) -> ProbabilityLaw:
    """Law of the images of one level, or oracle; wrong predictions count as never certified.

    Answers whose right class nobody knows count whatever their class, as certified shares do.

    Args:
        path: File of rows.
        tree: Tree, or oracle, whose rows count; None takes that of the first one.
        level: Level whose rows count.

    Raises:
        ValueError: If the file holds no row to plan by.
    """
    found = list(_counted(path))
    asked_for = tree if tree is not None or not found else found[0][0]
    rows = [r for name, r in found if name == asked_for and r.level == level]
    known = any(r.label >= 0 for r in rows)
    correct = [r for r in rows if r.n > 0 and (r.correct if known else r.prediction >= 0)]
    if not correct:
        there = list(dict.fromkeys(f"{name!r}, level {record.level}" for name, record in found))
        asked = f"tree or oracle {asked_for!r}, level {level}"
        raise ValueError(
            f"expected rows with counts and a correct prediction of {asked} in {path}, found none; "
            f"there are rows of {'; '.join(there) or 'no tree and no oracle'}"
        )
    return pilot_law([r.count for r in correct], [r.n for r in correct], num_images=len(rows))


def _counted(path: Path) -> Iterator[tuple[str, Any]]:
    """Records that have the counts of a smoothed label, each with the name of its tree or oracle."""
    for row in read_rows(path):
        record = record_from_row(row)
        name = kind_named(record.kind).counts_for(record)
        if name is not None:
            yield name, record
