"""Averages of norms and margins per level, recomputed from rows alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

GEOMETRY = "geometry"
"""Kind of such rows, and the folder of a run that they lie in."""


def summarise_geometry(rows: list[dict[str, Any]], label: str = GEOMETRY) -> dict[str, float]:
    """Means of rows by level and attack, under the names that a `GeometryCallback` of this label logs."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        level = row["level_name"] if row["level"] == 0 else f"{row['tree']}/{row['level_name']}"
        name = f"{label}/{level}"
        if row["of"] == "text":
            values[f"{name}/text_norm"].append(row["point_norm"])
            values[f"{name}/text_attainable_margin"].append(row["attainable_margin"])
            continue
        name = f"{name}/{row['attack']}"
        if row["of"] == "image":
            values[f"{name}/image_margin"].append(row["margin"])
        if row["of"] == ("image" if row["level"] == 0 else "group"):
            values[f"{name}/norm"].append(row["point_norm"])
            values[f"{name}/attainable_margin"].append(row["attainable_margin"])
            values[f"{name}/margin"].append(row["margin"])
    return {name: sum(found) / len(found) for name, found in sorted(values.items())}
