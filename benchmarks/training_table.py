"""The table of benchmarks/training.py, made from its result file."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

COLUMNS = [(level, attack) for attack in ("clean", "pgd20", "autoattack") for level in ("leaf", "superclass")]


DOCS = Path(__file__).parents[1] / "docs" / "methods.md"
BEGIN, END = "<!-- benchmarks/training_table.py -->\n", "\n<!-- end -->\n"


def write_table(content: dict[str, Any], path: Path) -> None:
    """Writes the tables to a file."""
    path.write_text(markdown(content) + "\n", encoding="utf-8")


def quote(content: dict[str, Any]) -> None:
    """Puts the tables into the documentation."""
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    DOCS.write_text(before + BEGIN + markdown(content) + END + rest.partition(END)[2], encoding="utf-8")


def markdown(content: dict[str, Any]) -> str:
    """A table per split: mean over seeds in percent, with the standard error from two seeds on."""
    parts = [
        f"Emoji, PGD-20 and AutoAttack at {255 * content['setting']['eps']:.0f}/255; percent, mean ± standard error."
    ]
    for split in dict.fromkeys(row["split"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["split"] == split]
        header = ["method", "seeds", *(f"{attack} {level}" for level, attack in COLUMNS), "s per epoch"]
        lines = [f"**{split}**", "", " | ".join(["", *header, ""]).strip(), "|" + " --- |" * len(header)]
        for method in dict.fromkeys(row["method"] for row in rows):
            runs = [run for run in content["runs"] if run["method"] == method]
            cells = [_cell([row for row in rows if row["method"] == method], *column) for column in COLUMNS]
            seconds = statistics.fmean(run["seconds_per_epoch"] for run in runs) if runs else 0.0
            lines.append(f"| {method} | {len(runs)} | {' | '.join(cells)} | {seconds:.0f} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(rows: list[dict[str, Any]], level: str, attack: str) -> str:
    values = [100 * row["accuracy"] for row in rows if row["level"] == level and row["attack"] == attack]
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values) / len(values) ** 0.5:.1f}"


if __name__ == "__main__":
    quote(json.loads((Path(__file__).parent / "results" / "training.json").read_text(encoding="utf-8")))
