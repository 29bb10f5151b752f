"""The table of joint certificates for the terminal, recomputed from rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def joint_table(summary: Mapping[str, Any]) -> Table:
    """Mean certified extent at radii and mean radius at extents, one line per level, attribute and scorer."""
    lines = [
        (tree, level, attribute, scorer, numbers)
        for tree, levels in summary["joint"].items()
        for level, attributes in levels.items()
        for attribute, scorers in attributes.items()
        for scorer, numbers in scorers.items()
    ]
    title = "Joint certificates: mean extent for every image within r (L2), mean radius up to extent e"
    table = Table(title=title, title_justify="left")
    for name in ("tree", "level", "attribute", "scorer"):
        table.add_column(name)
    first = lines[0][-1] if lines else {"at_radii": {}, "at_extents": {}}
    for name in (*(f"r={radius}" for radius in first["at_radii"]), *(f"e={e}" for e in first["at_extents"])):
        table.add_column(name, justify="right")
    for tree, level, attribute, scorer, numbers in lines:
        cells = [f"{found['mean_extent']:.3f}" for found in numbers["at_radii"].values()]
        cells += [f"{found['mean_radius']:.3f}" for found in numbers["at_extents"].values()]
        table.add_row("(all)" if level == "0" else tree, numbers["level_name"], attribute, scorer, *cells)
    return table
