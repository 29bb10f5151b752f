"""The figure of attacks: how those on one level transfer to others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hrvlm.attacks.summary import summarise_robustness
from hrvlm.figures import STYLE, room, shown
from hrvlm.reports.tables import level_names


def transfer_matrix(rows: Iterable[Any], attack: str | None = None) -> Figure:
    """Accuracy of every level in percent, where each level was attacked: attacked levels down, evaluated ones across.

    Args:
        rows: of robustness, of one stage and budget, as mappings or records.
        attack: which attack; None takes the first one.

    Raises:
        ValueError: if there is no such attack, or rows of several stages or budgets are mixed.
    """
    transfer = summarise_robustness(row if isinstance(row, Mapping) else asdict(row) for row in rows)["transfer"]
    chosen = next(iter(transfer), "of this figure") if attack is None else attack
    if chosen not in transfer:
        held = ", ".join(transfer) or "clean images alone"
        raise ValueError(f"expected rows of the attack {chosen}, got those of {held}")
    pairs = transfer[chosen]
    names = level_names(pairs)
    sources = [level for level in names if level in {(p["attacked_tree"], p["attacked_level"]) for p in pairs}]
    cells = np.full((len(sources), len(names)), np.nan)
    for pair in pairs:
        row = sources.index((pair["attacked_tree"], pair["attacked_level"]))
        cells[row, list(names).index((pair["tree"], pair["level"]))] = 100 * pair["accuracy"]
    return _heat_map(cells, [names[level] for level in sources], list(names.values()), chosen)


def _heat_map(cells: Any, down: list[str], across: list[str], attack: str) -> Figure:
    """Numbers from 0 to 100 as colours that differ in brightness, each written in its cell."""
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        size = (2.6 + room(down) + 0.75 * len(across), 1.7 + room(across) + 0.5 * len(down))
        figure = Figure(figsize=size)
        axes = figure.subplots()
        drawn = axes.imshow(cells, vmin=0, vmax=100, cmap="viridis", aspect="auto")
        for (row, column), value in np.ndenumerate(cells):
            if np.isfinite(value):
                colour = "white" if value < 60 else "black"
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xticks(range(len(across)), [shown(name) for name in across], rotation=30, ha="right")
        axes.set_yticks(range(len(down)), [shown(name) for name in down])
        axes.set(title=shown(attack), xlabel="evaluated level", ylabel="attacked level")
        figure.colorbar(drawn, ax=axes, label="accuracy in percent")
    return figure
