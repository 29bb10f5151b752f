"""Tables of zero-shot evaluation for the terminal and for pages, from its summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from hrvlm.attacks.records import CLEAN
from hrvlm.evaluation.zero_shot.summary import WORST, begun_aims

Aim = tuple[str, float]


def zero_shot_tables(summary: Mapping[str, Any]) -> list[Table]:
    """Accuracy of every data set under every attack, and the same with intervals, one line each."""
    return [accuracy_table(summary), interval_table(summary)]


def accuracy_table(summary: Mapping[str, Any]) -> Table:
    """Accuracy in percent: data sets down, attacks and budgets across, the mean over data sets last."""
    aims = sorted({_aim(result) for entry in summary["data"] for result in entry["results"]}, key=_clean_first)
    title = f"Zero-shot accuracy in percent, {summary['head']} head, {summary['norm']}"
    table = Table(title=title, title_justify="left", caption=_said(aims, summary), caption_justify="left")
    table.add_column("data", no_wrap=True)
    for name in ("classes", "images"):
        table.add_column(name, justify="right")
    for aim in aims:
        table.add_column(aim_name(*aim), justify="right")
    for entry in summary["data"]:
        found = {_aim(result): result["accuracy"] for result in entry["results"]}
        table.add_row(entry["data"], str(entry["num_classes"]), str(entry["images"]), *_cells(found, aims))
    if summary["mean"]:
        found = {_aim(result): result["accuracy"] for result in summary["mean"]}
        table.add_row("mean", "", "", *_cells(found, aims))
    return table


def interval_table(summary: Mapping[str, Any]) -> Table:
    """Accuracy in percent with its exact interval, and macro accuracy; a line per data set, attack and budget."""
    share = f"{100 * summary['confidence']:.0f} %"
    caption = f"Clopper-Pearson intervals, {share} each. Macro: mean over the classes that have images."
    table = Table(title=f"With exact {share} intervals", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("data", no_wrap=True)
    table.add_column("attack")
    for name in ("right", "images", "accuracy", "interval", "macro"):
        table.add_column(name, justify="right")
    for entry in summary["data"]:
        for result in entry["results"]:
            interval = f"{100 * result['lower']:.1f} to {100 * result['upper']:.1f}"
            shares = (f"{100 * result['accuracy']:.1f}", interval, f"{100 * result['macro_accuracy']:.1f}")
            counts = (str(result["correct"]), str(result["images"]))
            table.add_row(entry["data"], aim_name(*_aim(result)), *counts, *shares)
    return table


def aim_name(attack: str, eps: float) -> str:
    """An attack and its budget in words, such as "pgd20 4/255"."""
    return attack if attack == CLEAN else f"{attack} {eps * 255:.3g}/255"


def _aim(result: Mapping[str, Any]) -> Aim:
    return result["attack"], result["eps"]


def _clean_first(aim: Aim) -> tuple[bool, float, bool, str]:
    return aim[0] != CLEAN, aim[1], aim[0] == WORST, aim[0]


def _cells(found: Mapping[Aim, float], aims: list[Aim]) -> list[str]:
    return [f"{100 * found[aim]:.1f}" if aim in found else "" for aim in aims]


def _said(aims: list[Aim], summary: Mapping[str, Any]) -> str | None:
    """What the numbers leave open."""
    said = [
        f"Of {found['images']} images alone, to be finished: {aim_name(*_aim(found))} on {data}."
        for data, found in begun_aims(summary)
    ]
    if any(attack != CLEAN for attack, _ in aims):
        said.insert(0, "Under attack: upper bounds of robustness, found by the attacks named.")
    return " ".join(said) or None
