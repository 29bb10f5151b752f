"""Tab-separated tables of certificates in the form of the code of Cohen et al., ICML 2019 (arXiv 1902.02918)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Line: TypeAlias = tuple[int, int | None, int, float, bool | None]
"""Dataset index, label, prediction (-1 for an abstention), radius and whether it is right; None where nobody knows."""
COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")


def table_of(lines: Iterable[Line]) -> str:
    """The text of a table.

    Args:
        lines: one per image. The column time is left empty: rows hold no times; so are label and correct of an image
            without a label.
    """
    written = [
        f"{index}\t{'' if label is None else label}\t{predict}\t{radius!r}\t{'' if ok is None else int(ok)}\t"
        for index, label, predict, radius, ok in lines
    ]
    return "\n".join(["\t".join(COLUMNS), *written]) + "\n"


def read_tsv(text: str) -> list[dict[str, Any]]:
    """Lines of such a table, of this export or of Cohen et al.'s program: idx, label, predict, radius, correct, time.

    Raises:
        ValueError: If the columns are others.
    """
    head, *lines = text.splitlines()
    if tuple(head.split("\t")) != COLUMNS:
        raise ValueError(f"expected the columns {', '.join(COLUMNS)}, got {head!r}")
    types: tuple[Callable[[str], Any], ...] = (int, _known(int), int, float, _known(lambda ok: bool(int(ok))), str)
    return [
        {name: kind(value) for name, kind, value in zip(COLUMNS, types, line.split("\t"), strict=True)}
        for line in lines
    ]


def _known(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A type of cells that may be empty, which gives None."""
    return lambda value: kind(value) if value else None
