"""The table at the top of README.md, from what benchmarks/training.py found."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from training_summary import label_of

CERTIFIED = Path(__file__).parent / "results" / "certified_training.json"
SPLIT, SIGMA, RADIUS = "unseen_artist", 0.25, "0.25"
BEST = "the reference"  # the hierarchical method that validation pictures chose
METHODS = {
    "packaged model, before any fine-tuning": "pretrained",
    "[TeCoA](https://arxiv.org/abs/2212.07016)": "tecoa",
    "[PMG-AFT](https://arxiv.org/abs/2401.04350)": "pmg_aft",
    "[FARE](https://arxiv.org/abs/2402.12336)": "fare",
    "[AGFT](https://arxiv.org/abs/2603.29410)": "agft",
    "**hierarchical**, two trees": BEST,
    "[Gaussian noise](https://arxiv.org/abs/1902.02918)": "gaussian",
    "[SmoothAdv](https://arxiv.org/abs/1906.04584), of TeCoA": "tecoa_smoothed",
    "**hierarchical, smoothed**": "hierarchical_smoothed",
}
COLUMNS = (("clean", "leaf"), ("clean", "superclass"), ("pgd20", "leaf"), ("pgd20", "superclass"))
CERTIFICATES = ("leaf", "group")
HEADER = (
    "fine-tuned by",
    *(f"{title}, {level}" for title in ("clean", "PGD-20", "certified") for level in ("leaf", "superclass")),
    "seeds",
)


def markdown(attacked: dict[str, Any]) -> str:
    """Mean over seeds in percent, with the standard error; certificates are those of certified_training.json.

    Args:
        attacked: What training.json holds.
    """
    certified = json.loads(CERTIFIED.read_text(encoding="utf-8"))
    rows = [row for row in attacked["rows"] if row["split"] == SPLIT]
    proved = [row for row in certified["rows"] if (row["split"], row["sigma"]) == (SPLIT, SIGMA)]
    lines = [HEADER, ("---",) * len(HEADER)]
    for title, name in METHODS.items():
        label = attacked["reference"] if name == BEST else name
        own, own_proved = ([row for row in found if label_of(row) == label] for found in (rows, proved))
        cells = [[row["accuracy"] for row in own if (row["attack"], row["level"]) == column] for column in COLUMNS]
        cells += [[row["certified"][RADIUS] for row in own_proved if row["level"] == level] for level in CERTIFICATES]
        lines.append((title, *map(_cell, cells), str(len(cells[0]))))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(values: list[float]) -> str:
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * statistics.stdev(values) / len(values) ** 0.5:.1f}"
