"""The table of hierarchical profiles for the terminal, recomputed from rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def profile_table(summary: Mapping[str, Any]) -> Table:
    """Where the deepest certified ancestors lie at each radius, and how many are right, from a summary."""
    trees: Mapping[str, Any] = summary["profile"]
    radii = list(dict.fromkeys(radius for tree in trees.values() for radius in tree["deepest"]))
    title = "Hierarchical profile: percent of images whose deepest certified ancestor lies at a level"
    table = Table(title=f"{title} (in brackets: certified at its right node)", title_justify="left")
    for name in ("tree", "level"):
        table.add_column(name)
    for name in (*(f"r={radius}" for radius in radii), "mean radius"):
        table.add_column(name, justify="right")
    for tree, found in trees.items():
        for level, numbers in found["levels"].items():
            cells = [_cell(found["deepest"].get(radius), level, numbers, radius) for radius in radii]
            mean = numbers.get("average_certified_radius")
            table.add_row(tree, numbers["level_name"], *cells, "" if mean is None else f"{mean:.3f}")
        roots = [f"{100 * found['deepest'][r]['root']:.0f}" if r in found["deepest"] else "" for r in radii]
        table.add_row(tree, "(root)", *roots, "")
    return table


def _cell(deepest: Mapping[str, float] | None, level: str, numbers: Mapping[str, Any], radius: str) -> str:
    if deepest is None:
        return ""
    return f"{100 * deepest[level]:.0f} ({100 * numbers['certified_accuracy'][radius]:.0f})"
