"""The curve of attacks that push a model towards a forbidden answer, as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from hrvlm.generative.targeted_attack_records import BUDGETS


def targeted_attack_table(summary: dict[str, Any], *, forbidden: str) -> Table:
    """Share of images that reach the forbidden class, by budget.

    Args:
        summary: See `hrvlm.generative.targeted_attack_records.summarise_targeted_attacks`.
        forbidden: The class.
    """
    by = BUDGETS[summary.get("norm", "l2")]
    table = Table(title=f"Images pushed to {forbidden!r}, percent, by {by}", min_width=72)
    table.add_column("defence")
    budgets = [point["eps"] for point in summary["none"]] or [point["eps"] for point in summary["smoothing"]]
    for eps in budgets:
        table.add_column(f"{eps:g}", justify="right")
    for defence in ("none", "smoothing"):
        rates = {point["eps"]: point["rate"] for point in summary[defence]}
        table.add_row(defence, *(_percent(rates.get(eps)) for eps in budgets))
    inside, beyond = summary["inside"], summary["beyond"]
    table.caption = (
        f"With smoothing, inside certified radii {inside['successes']} of {inside['attacked']} attacks succeed, "
        f"beyond them {beyond['successes']} of {beyond['attacked']}."
    )
    return table


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.1f}"
