"""Images of zero-shot evaluation, for the table of images of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hrvlm.attacks.records import CLEAN
from hrvlm.certificates.kinds.report import Judged
from hrvlm.reports.image_columns import ImageColumns

Row = Mapping[str, Any]


def add_zero_shot(
    columns: ImageColumns, rows: Sequence[Row], files: Mapping[tuple[str, int], str] | None = None
) -> dict[int, str]:
    """Takes rows of zero-shot evaluation into a table of images, those of one data set after another.

    Args:
        columns: of no other images.
        rows: of any data sets, attacks and budgets.
        files: by data set and index there, as far as they are known.

    Returns:
        Of every image its file, or, where there are several data sets, its data set and index there; of one data set
        without files nothing, as images keep their indices.
    """
    first: dict[str, int] = {}
    for data in dict.fromkeys(row["data"] for row in rows):
        first[data] = max(columns.indices, default=-1) + 1
        for row in rows:
            if row["data"] == data:
                columns.add("Zero-shot", "", first[data] + row["index"], [_judged(row)])
    several, files = len(first) > 1, files or {}
    named = {}
    for row in rows:
        data, index = row["data"], row["index"]
        file = files.get((data, index), str(index) if several else "")
        named[first[data] + index] = f"{data}/{file}" if several else file
    return {image: name for image, name in named.items() if name}


def _judged(row: Row) -> Judged:
    budget = "" if row["attack"] == CLEAN else f" {row['norm']} {row['eps'] * 255:.3g}/255"
    return Judged(
        tree=row["data"], level=0, level_name=f"{row['num_classes']} classes", about=f"{row['attack']}{budget}",
        label=row["label"], prediction=row["prediction"],
    )  # fmt: skip
