"""Sections of a page about accuracies and attacks, where nothing is certified."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hrvlm.reports.overview import stage_words
from hrvlm.reports.page import page_section, table_cells
from hrvlm.reports.tables import coherence_tables, robustness_table, transfer_tables

if TYPE_CHECKING:
    from hrvlm.generative.targeted_attack_records import TargetedAttackRecord

Row = Mapping[str, Any]


def robustness_sections(rows: Sequence[Row], split: str | None = None) -> Iterable[dict[str, Any]]:
    """A section per stage and budget of rows of robustness, before training first.

    Args:
        rows: of any stages and budgets.
        split: of their images, where it is to be told.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["norm"], row["eps"], row["stage"]), []).append(row)
    in_order = sorted(groups.items(), key=lambda item: item[0][2] == "after")
    for number, ((norm, eps, stage), group) in enumerate(in_order):
        budget = f"{norm} eps={eps * 255:.3g}/255{stage_words(stage)}"
        where = "" if split is None else f" on {split}"
        first = robustness_table(group, title=f"Accuracy in percent{where}, each level attacked by its own classifier")
        tables = [table_cells(first), *(table_cells(table, heat=True) for table in transfer_tables(group))]
        tables += [table_cells(table) for table in coherence_tables(group)]
        text = "Upper bounds of robustness, found by attacks; nothing here is certified."
        yield page_section(f"robustness-{number}", f"Attacks: {budget}", text, [], []) | {"tables": tables}


def zero_shot_sections(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    """The section of rows of zero-shot evaluation, if there are any."""
    if rows:
        from hrvlm.evaluation.zero_shot.summary import summarise_zero_shot  # with libraries that others do without
        from hrvlm.reports.zero_shot_tables import zero_shot_tables

        text = "Every picture is given the class whose prompts it is nearest to; nothing here is certified."
        yield page_section("zero-shot", "Zero-shot", text, [], zero_shot_tables(summarise_zero_shot(rows)))


def targeted_attacks_of(rows: Sequence[Row]) -> list[TargetedAttackRecord]:
    """The records of such rows."""
    if not rows:
        return []
    from hrvlm.generative.targeted_attack_records import TargetedAttackRecord  # with libraries that others do without

    return [TargetedAttackRecord.from_row(row) for row in rows]


def targeted_attack_sections(records: Sequence[TargetedAttackRecord]) -> Iterable[dict[str, Any]]:
    """The section of attacks towards a forbidden answer, if there are any."""
    if records:
        from hrvlm.figures import svg
        from hrvlm.generative.targeted_attack_records import summarise_targeted_attacks
        from hrvlm.reports.targeted_attack_figures import attack_curves
        from hrvlm.reports.targeted_attack_table import targeted_attack_table

        words = "Success of attacks over the budget, without and with smoothing, inside and beyond certified radii"
        text = (
            "Share of attacked images that reach the forbidden class. Only inside certified radii is failure proven; "
            "elsewhere a stronger attack may succeed."
        )
        table = targeted_attack_table(summarise_targeted_attacks(records), forbidden=records[0].forbidden)
        yield page_section(
            "pushes", "Pushed to a forbidden answer", text, [svg(attack_curves(records), words)], [table]
        )
