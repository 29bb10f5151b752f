"""The table of benchmarks/training.py, made from its result file."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

COLUMNS = [(level, attack) for attack in ("clean", "pgd20", "autoattack") for level in ("leaf", "superclass")]
AUTOATTACK_IMAGES = 8  # per split; also of files that do not say how many
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
    """Learning rates, then a table per split: mean over seeds in percent, with the standard error from two seeds on."""
    parts = [
        f"Emoji, PGD-20 and AutoAttack at {255 * content['setting']['eps']:.0f}/255, AutoAttack on "
        f"{autoattack_images(content)} pictures per split; percent, mean ± standard error."
    ]
    parts += filter(None, [rates_sentence(content)])
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


def autoattack_images(content: dict[str, Any]) -> int:
    """Pictures per split that the AutoAttack rows come from."""
    return int(content["setting"].get("autoattack_images", AUTOATTACK_IMAGES))


def chosen_rates(content: dict[str, Any]) -> dict[str, float]:
    """The learning rate with the best score, of methods of which all rates were tried."""
    scores: dict[str, dict[float, float]] = {}
    for entry in content["tuning"]:
        scores.setdefault(entry["method"], {})[entry["learning_rate"]] = entry["score"]
    every = set(content["setting"]["learning_rates"])
    return {name: max(tried, key=tried.__getitem__) for name, tried in scores.items() if set(tried) >= every}


def rates_sentence(content: dict[str, Any]) -> str:
    """Which learning rates were chosen, and at which the methods without a choice of their own ran."""
    tried, chosen = content["setting"]["learning_rates"], chosen_rates(content)
    trained = {run["method"]: run["learning_rate"] for run in content["runs"] if run["learning_rate"]}
    untuned = {name: rate for name, rate in trained.items() if name not in chosen}
    edge = sum(rate in (min(tried), max(tried)) for rate in chosen.values())
    lines = [
        f"Learning rates chosen on validation pictures: {_by_rate(chosen)}.",
        f"{edge} of these {len(chosen)} lie on the edge of the grid ({', '.join(map(_shown, sorted(tried)))}).",
    ]
    lines += [f"Without a choice of their own ran: {_by_rate(untuned)}."] if untuned else []
    return "\n".join(lines) if chosen else ""


def _by_rate(rates: dict[str, float]) -> str:
    groups = {rate: [f"`{name}`" for name in rates if rates[name] == rate] for rate in sorted(set(rates.values()))}
    return "; ".join(f"{_shown(rate)} by {', '.join(names)}" for rate, names in groups.items())


def _shown(rate: float) -> str:
    return f"{rate:.0e}".replace("e-0", "e-")


def _cell(rows: list[dict[str, Any]], level: str, attack: str) -> str:
    values = [100 * row["accuracy"] for row in rows if row["level"] == level and row["attack"] == attack]
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values) / len(values) ** 0.5:.1f}"


if __name__ == "__main__":
    quote(json.loads((Path(__file__).parent / "results" / "training.json").read_text(encoding="utf-8")))
