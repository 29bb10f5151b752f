"""How the measurements of training_speed.py are shown and quoted."""

from __future__ import annotations

from typing import Any

from machines import told
from rich.console import Console
from rich.table import Table

TARGETS = {"universal": 1.10, "hierarchical": 1.15, "hierarchical_averages": 1.15, "objective": 0.10}
TITLES = {
    "over_leaf_only": "universal perturbation / leaf-only perturbation",
    "over_tecoa": "hierarchical step / TeCoA step",
    "averages_over_tecoa": "hierarchical step, averages above the leaves / TeCoA step",
    "own_over_twin": "perturbation sought with the tower itself / with its twin for inference",
    "all_gradients": "all gradients taken while perturbing (`backward`, no twin) / none",
    "flags_on": "parameters ask for gradients while perturbing, none taken, no twin / flags off",
    "without_over_with": "texts encoded in every step / cached before the projection",
    "five_trees": "objective, five trees over 1,000 leaves, batch 256 / ViT-B-32, forward and backward",
}
HEADER = ("compared", "wall time", "processor time", "target, by wall / processor time")


def rows(parts: dict[str, Any]) -> list[tuple[str, ...]]:
    """What is shown and quoted: ratios with their targets, then peaks of memory."""
    found, peaks = [], []
    for name, part in parts.items():
        for key, values in part.items():
            if "ratio" in values:
                ratios = (f"{values[kind]:.3f}" for kind in ("ratio", "processor_ratio"))
                found.append((TITLES[key], *ratios, _verdict(TARGETS.get(name), values)))
            else:
                peaks += [
                    (f"peak of the objective's tensors, {case}", f"{size:.0f} MiB", "", "")
                    for case, size in values.items()
                ]
    return found + peaks


def _verdict(target: float | None, values: dict[str, float]) -> str:
    """Whether a target is met, by wall time and by processor time."""
    if target is None:
        return ""
    over = [values[kind] - target for kind in ("ratio", "processor_ratio")]
    found = ["met" if excess <= 0 else f"missed by {excess:.3f}" for excess in over]
    return f"<= {target:.2f}: {found[0]} / {found[1]}"


def markdown(result: dict[str, Any]) -> str:
    """The table that docs/training_speed.md quotes."""
    lines = [HEADER, ("---",) * len(HEADER), *rows(result["parts"])]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\nMeasured on: {told(result['machine'])}.\n"


def show(result: dict[str, Any]) -> None:
    """Prints the table."""
    table = Table(*HEADER)
    for row in rows(result["parts"]):
        table.add_row(*row)
    Console(width=130).print(table)
