"""The table at the top of README.md, from what benchmarks/training.py found."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from training_summary import label_of

RESULT = Path(__file__).parent / "results" / "training.json"
METHODS = (
    ("packaged model, before any fine-tuning", ("pretrained",)),
    ("[TeCoA](https://arxiv.org/abs/2212.07016)", ("tecoa",)),
    ("[PMG-AFT](https://arxiv.org/abs/2401.04350)", ("pmg_aft",)),
    ("[FARE](https://arxiv.org/abs/2402.12336)", ("fare",)),
    ("**hierarchical**, two trees", ("hierarchical_images", "hierarchical_forest")),  # today's name, and the former
)
COLUMNS = (("clean", "leaf"), ("clean", "superclass"), ("pgd20", "leaf"), ("pgd20", "superclass"))
HEADER = ("fine-tuned by", "clean, leaf", "clean, superclass", "PGD-20, leaf", "PGD-20, superclass", "seeds")


def markdown(content: dict[str, Any], split: str = "unseen_artist") -> str:
    """Mean over seeds in percent, with the standard error, of the methods that are on file.

    Args:
        content: What training.json holds.
        split: Of which pictures.
    """
    rows = [row for row in content["rows"] if row["split"] == split]
    lines = [HEADER, ("---",) * len(HEADER)]
    for title, names in METHODS:
        own = [row for row in rows if label_of(row) in names]
        cells = [[row["accuracy"] for row in own if (row["attack"], row["level"]) == column] for column in COLUMNS]
        if all(cells):
            lines.append((title, *map(_cell, cells), str(len(cells[0]))))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(values: list[float]) -> str:
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * statistics.stdev(values) / len(values) ** 0.5:.1f}"
