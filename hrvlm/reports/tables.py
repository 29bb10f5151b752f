"""Tables of robustness for the terminal, recomputed from rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.table import Table

from hrvlm.attacks.records import CLEAN, own_level
from hrvlm.attacks.summary import summarise_robustness, worst_case

Level = tuple[str, int, str, int]
Column = tuple[str | None, str]
WORST = "worst case"
STRONG = ("autoattack", "apgd", "apgd-t")


def accuracies(rows: Iterable[Mapping[str, Any]]) -> dict[Level, dict[Column, float]]:
    """Accuracy per level (tree, level, level name, number of classes) and (stage, attack), from robustness rows.

    Attacks count at the level that they were aimed at; see `transfer_tables` for the others.
    """
    correct: dict[Level, dict[Column, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if own_level(row):
            level = (row["tree"], row["level"], row["level_name"], row["num_classes"])
            correct[level][row["stage"], row["attack"]].append(row["correct"])
    return {
        level: {column: sum(values) / len(values) for column, values in columns.items()}
        for level, columns in correct.items()
    }


def robustness_table(rows: Iterable[Mapping[str, Any]], *, title: str) -> Table:
    """Clean and attacked accuracy in percent, before and after training, one line per level.

    Where several attacks were run, the worst case for each image follows; the caption says which attacks were run.
    """
    rows = list(rows)
    found = accuracies(rows)
    for place, stage, share in _worst_cases(rows):
        found[place][stage, WORST] = share
    columns = sorted({column for columns in found.values() for column in columns}, key=_stage_first)
    table = Table(title=title, title_justify="left", caption=_attacks_said(columns), caption_justify="left")
    table.add_column("tree")
    table.add_column("level")
    table.add_column("classes", justify="right")
    for stage, attack in columns:
        table.add_column(attack if stage is None else f"{attack} {stage}", justify="right")
    for (tree, level, name, classes), numbers in found.items():
        cells = [f"{100 * numbers[column]:.1f}" if column in numbers else "" for column in columns]
        table.add_row("(all)" if level == 0 else tree, name, str(classes), *cells)
    return table


def _worst_cases(rows: list[Mapping[str, Any]]) -> Iterator[tuple[Level, str | None, float]]:
    groups: dict[tuple[Level, str | None], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if own_level(row):
            level = (row["tree"], row["level"], row["level_name"], row["num_classes"])
            groups[level, row["stage"]].append(row)
    for (level, stage), group in groups.items():
        share = worst_case(group)
        if share is not None:
            yield level, stage, share


def _attacks_said(columns: Iterable[Column]) -> str | None:
    """Which attacks the numbers rest on, and what that leaves open."""
    attacks = sorted({attack for _, attack in columns} - {CLEAN, WORST})
    if not attacks:
        return None
    several = "" if len(attacks) == 1 else "; worst case: images right under all of them"
    weak = "" if any(name in STRONG for name in attacks) else "; stronger attacks (autoattack, apgd-t) may break more"
    return f"Attacks: {', '.join(attacks)}{several}. Upper bounds of robustness{weak}."


def _stage_first(column: Column) -> tuple[bool, bool, bool, str]:
    stage, attack = column
    return stage != "before", attack != CLEAN, attack == WORST, attack


def transfer_tables(rows: Iterable[Mapping[str, Any]]) -> list[Table]:
    """One matrix per attack, from the robustness rows of one stage: attacked levels down, evaluated levels across.

    A cell holds the accuracy of the evaluated level in percent, and in brackets the share of images that the attack
    turned wrong there, of those that it was run on and that the level gets right when clean.
    """
    summary = summarise_robustness(rows)
    found = [(name, pairs) for name, pairs in summary["transfer"].items() if any(map(_transfers, pairs))]
    return [_transfer_table(name, pairs) for name, pairs in found]


def _transfers(pair: Mapping[str, Any]) -> bool:
    return (pair["attacked_tree"], pair["attacked_level"]) != (pair["tree"], pair["level"])


def coherence_tables(rows: Iterable[Mapping[str, Any]]) -> list[Table]:
    """How often all levels of a tree are right together, clean and under attack, see `hrvlm.attacks.coherence`.

    Args:
        rows: Robustness rows of one stage and budget.

    Returns:
        One table; none where no image has rows of all levels.
    """
    summary = summarise_robustness(rows)
    entries = summary.get("coherence", [])
    names = level_names(pair for pairs in summary["transfer"].values() for pair in pairs)
    return [_together(entries, names)] if entries else []


def _together(entries: list[dict[str, Any]], names: Mapping[tuple[str, int], str]) -> Table:
    title = "Levels together, in percent: all right (HCA), mean over treecuts (MTA), one right and the other wrong"
    table = Table(title=title, title_justify="left")
    for name in ("attack", "attacked level", "tree"):
        table.add_column(name)
    for name in ("HCA", "MTA", "leaf alone", "superclasses alone"):
        table.add_column(name, justify="right")
    for entry in entries:
        shares = (f"{100 * entry[name]:.1f}" for name in ("hca", "mta", "leaf_alone", "superclasses_alone"))
        aimed = names.get((entry["attacked_tree"], entry["attacked_level"]), "")
        table.add_row(entry["attack"], aimed, entry["tree"], *shares)
    return table


def _transfer_table(name: str, pairs: list[dict[str, Any]]) -> Table:
    names = level_names(pairs)
    cells = {((pair["attacked_tree"], pair["attacked_level"]), (pair["tree"], pair["level"])): pair for pair in pairs}
    table = Table(title=f"Transfer of {name}: accuracy in percent (share turned wrong)", title_justify="left")
    table.add_column("attacked level")
    for level in names:
        table.add_column(f"at {names[level]}", justify="right")
    attacked = {source for source, _ in cells}
    for source in (level for level in names if level in attacked):
        table.add_row(names[source], *(_transfer_cell(cells.get((source, target))) for target in names))
    return table


def level_names(pairs: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], str]:
    """Short names for narrow columns: a level's tree is told only where two trees have levels of one name."""
    levels = {(pair["tree"], pair["level"]): pair["level_name"] for pair in pairs}
    names = list(levels.values())
    return {
        (tree, level): name if names.count(name) == 1 else f"{tree}/{name}" for (tree, level), name in levels.items()
    }


def _transfer_cell(pair: Mapping[str, Any] | None) -> str:
    if pair is None:
        return ""
    flipped = f"{100 * pair['flipped'] / pair['both']:.0f}" if pair["both"] else "-"
    return f"{100 * pair['accuracy']:.1f} ({flipped})"
