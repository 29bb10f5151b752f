"""Tables for the terminal, recomputed from rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

Level = tuple[str, int, str, int]


def accuracies(rows: Iterable[Mapping[str, Any]]) -> dict[Level, dict[tuple[str, str], float]]:
    """Accuracy per level (tree, level, level name, number of classes) and (stage, attack), from robustness rows."""
    correct: dict[Level, dict[tuple[str, str], list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        level = (row["tree"], row["level"], row["level_name"], row["num_classes"])
        correct[level][row["stage"], row["attack"]].append(row["correct"])
    return {
        level: {column: sum(values) / len(values) for column, values in columns.items()}
        for level, columns in correct.items()
    }


def robustness_table(rows: Iterable[Mapping[str, Any]], *, title: str) -> Table:
    """Clean and attacked accuracy in percent, before and after training, one line per level."""
    found = accuracies(rows)
    columns = sorted({column for columns in found.values() for column in columns}, key=_stage_first)
    table = Table(title=title, title_justify="left")
    table.add_column("tree")
    table.add_column("level")
    table.add_column("classes", justify="right")
    for stage, attack in columns:
        table.add_column(f"{attack} {stage}", justify="right")
    for (tree, level, name, classes), numbers in found.items():
        cells = [f"{100 * numbers[column]:.1f}" if column in numbers else "" for column in columns]
        table.add_row("(all)" if level == 0 else tree, name, str(classes), *cells)
    return table


def _stage_first(column: tuple[str, str]) -> tuple[bool, bool, str]:
    stage, attack = column
    return stage != "before", attack != "clean", attack


def smoothing_table(summary: Mapping[str, Any]) -> Table:
    """Certified accuracy at radii and mean radius, one line per level, from a summary of certificates."""
    lines = [
        (tree, level, numbers) for tree, levels in summary["smoothing"].items() for level, numbers in levels.items()
    ]
    radii = list(lines[0][2]["certified_accuracy"]) if lines else []
    table = Table(title="Smoothing certificates: certified accuracy in percent at L2 radii", title_justify="left")
    for name in ("tree", "level", "smoothed"):
        table.add_column(name, justify="right" if name == "smoothed" else "left")
    for radius in radii:
        table.add_column(f"r={radius}", justify="right")
    table.add_column("mean radius", justify="right")
    for tree, level, numbers in lines:
        shares = [numbers["smoothed_accuracy"], *numbers["certified_accuracy"].values()]
        cells = [f"{100 * share:.1f}" for share in shares]
        table.add_row(
            "(all)" if level == "0" else tree,
            numbers["level_name"],
            *cells,
            f"{numbers['average_certified_radius']:.3f}",
        )
    return table


def semantic_table(summary: Mapping[str, Any]) -> Table:
    """Mean share of the semantic range on which the prediction cannot change, one line per level and scorer."""
    attributes = sorted(
        {name for levels in summary["semantic"].values() for found in levels.values() for name in found}
    )
    table = Table(title="Semantic certificates: mean invariant share of the range in percent", title_justify="left")
    for name in ("tree", "level", "scorer", *attributes):
        table.add_column(name, justify="right" if name in attributes else "left")
    for tree, levels in summary["semantic"].items():
        for level, found in levels.items():
            scorers = sorted({scorer for kinds in found.values() for scorer in kinds})
            for scorer in scorers:
                numbers = [found[name][scorer]["text"] for name in attributes]
                shares = [f"{100 * number['mean_invariance']:.1f}" for number in numbers]
                table.add_row("(all)" if level == "0" else tree, numbers[0]["level_name"], scorer, *shares)
    return table
