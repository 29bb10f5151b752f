"""Tab-separated tables of certificates in the form of the code of Cohen et al., ICML 2019 (arXiv 1902.02918)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")


def table_of(lines: Iterable[tuple[int, int, int, float, bool]]) -> str:
    """The text of a table.

    Args:
        lines: dataset index, label, prediction (-1 for an abstention), radius and whether it is right, per image. The
            column time is left empty: rows hold no times.
    """
    written = [f"{index}\t{label}\t{predict}\t{radius!r}\t{int(ok)}\t" for index, label, predict, radius, ok in lines]
    return "\n".join(["\t".join(COLUMNS), *written]) + "\n"


def read_tsv(text: str) -> list[dict[str, Any]]:
    """Lines of such a table, of this export or of Cohen et al.'s program: idx, label, predict, radius, correct, time.

    Raises:
        ValueError: If the columns are others.
    """
    head, *lines = text.splitlines()
    if tuple(head.split("\t")) != COLUMNS:
        raise ValueError(f"expected the columns {', '.join(COLUMNS)}, got {head!r}")
    types: tuple[Callable[[str], Any], ...] = (int, int, int, float, lambda value: bool(int(value)), str)
    return [
        {name: kind(value) for name, kind, value in zip(COLUMNS, types, line.split("\t"), strict=True)}
        for line in lines
    ]
