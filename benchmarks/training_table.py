"""The tables of benchmarks/training.py, made from its result files."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_rates import best
from training_summary import attacked, certified, label_of

ATTACKS = ("clean", "pgd20", "apgd", "autoattack")
LEVELS = ("leaf", "superclass")
RADII = ("0.1", "0.25", "0.5")
ATTACKED, CERTIFIED = "training", "certified_training"
Content = dict[str, Any]


def write(lines: list[dict[str, Any]], folder: Path) -> None:
    """Writes both result files and their tables."""
    for name, content in ((ATTACKED, attacked(lines)), (CERTIFIED, certified(lines))):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (folder / f"{name}.md").write_text(TABLES[name](content) + "\n", encoding="utf-8")


def markdown(content: Content) -> str:
    """Learning rates, then tables per split: mean over seeds in percent, with the standard error from two seeds on."""
    parts = [_heading(content), *filter(None, [rates_sentence(content)])]
    for split in dict.fromkeys(row["split"] for row in content["rows"]):
        rows = [row for row in content["rows"] if row["split"] == split]
        columns = [(attack, level) for attack in ATTACKS for level in LEVELS if _has(rows, attack, level)]
        columns += [(attack, "hca") for attack in ATTACKS if _has(rows, attack, "hca")]
        header = ["method", "seeds", *(f"{attack} {_level(level)}" for attack, level in columns), "s per epoch"]
        lines = _table_head(split, header)
        for label in dict.fromkeys(map(label_of, rows)):
            runs = [run for run in content["runs"] if label_of(run) == label]
            own = [row for row in rows if label_of(row) == label]
            found = [[row for row in own if (row["attack"], row["level"]) == column] for column in columns]
            cells = [_cell([100 * row["accuracy"] for row in chosen], 1) for chosen in found]
            seconds = statistics.fmean(run.get("seconds_per_epoch", 0.0) for run in runs) if runs else 0.0
            lines.append(f"| {label} | {len(runs)} | {' | '.join(cells)} | {seconds:.0f} |")
        parts.append("\n".join(lines))
        parts += _differences(content, split, ("attack", "level"), 100.0, 1)
    return "\n\n".join(parts)


def certified_markdown(content: Content) -> str:
    """Tables per split and sigma: mean certified radius, accuracy at radii and mean depth, mean over seeds."""
    setting = content["setting"]
    parts = [
        f"Emoji, alpha = {setting['alpha']:g} per picture, n = {', '.join(_values(content, 'n'))}; mean ± standard "
        "error over seeds. ACR: mean certified radius; certified accuracy in percent, and depth (levels of a profile "
        "that are certified), at radii."
    ]
    for split in dict.fromkeys(row["split"] for row in content["rows"]):
        for sigma in sorted({row["sigma"] for row in content["rows"] if row["split"] == split}):
            parts.append("\n".join(_certified_table(content, split, sigma)))
        parts += _differences(content, split, ("level",), 1.0, 3)
    return "\n\n".join(parts)


def _certified_table(content: Content, split: str, sigma: float) -> list[str]:
    found = [[row for row in content[kind] if row["split"] == split] for kind in ("rows", "profiles")]
    rows, profiles = ([row for row in kind if row["sigma"] == sigma] for kind in found)
    levels = list(dict.fromkeys(row["level"] for row in rows))
    shares = [f"{level} at {radius}" for level in levels for radius in RADII]
    header = ["method", "seeds", "images", "seconds", *(f"ACR {level}" for level in levels), *shares]
    lines = _table_head(f"{split}, sigma = {sigma:g}", [*header, *(f"depth at {radius}" for radius in RADII)])
    for label in dict.fromkeys(map(label_of, rows)):
        own = [[row for row in rows if label_of(row) == label and row["level"] == level] for level in levels]
        cells = [_cell([row["acr"] for row in of], 3) for of in own]
        cells += [_cell([100 * row["certified"][radius] for row in of], 1) for of in own for radius in RADII]
        deep = [row["mean_depth"] for row in profiles if label_of(row) == label]
        cells += [_cell([depths[radius] for depths in deep], 2) for radius in RADII]
        seeds = len({row["seed"] for row in own[0]})
        runs = [run.get("seconds", 0.0) for run in content["runs"] if label_of(run) == label]
        seconds = statistics.fmean(runs) if runs else 0.0
        lines.append(f"| {label} | {seeds} | {own[0][0]['images']} | {seconds:.0f} | {' | '.join(cells)} |")
    return lines


def _differences(content: Content, split: str, columns: Sequence[str], scale: float, digits: int) -> list[str]:
    """A table of paired tests, if there are any."""
    found = [entry for entry in content.get("differences", ()) if entry["split"] == split]
    if not found:
        return []
    places = list(dict.fromkeys(tuple(entry[name] for name in columns) for entry in found))
    title = f"{split}, {found[0]['method']} less …: difference ± standard error (p after Holm)"
    lines = _table_head(title, ["method", "seeds", "pictures", *(" ".join(place) for place in places)])
    for label in dict.fromkeys(entry["less"] for entry in found):
        own = {tuple(entry[name] for name in columns): entry for entry in found if entry["less"] == label}
        cells = [_difference(own[place], scale, digits) if place in own else "" for place in places]
        seeds, pictures = (sorted({entry[name] for entry in own.values()}) for name in ("seeds", "pictures"))
        counts = (", ".join(map(str, numbers)) for numbers in (seeds, pictures))
        lines.append(f"| {label} | {' | '.join(counts)} | {' | '.join(cells)} |")
    return ["\n".join(lines)]


def _difference(entry: dict[str, Any], scale: float, digits: int) -> str:
    mean, error = scale * entry["difference"], scale * entry["error"]
    return f"{mean:+.{digits}f} ± {error:.{digits}f} ({entry['holm']:.2g})"


def _heading(content: Content) -> str:
    """What was attacked how, and how many pictures."""
    eps = f"{255 * content['setting']['eps']:.0f}/255"
    if "sizes" not in content["setting"]:  # of results from before pictures were counted per row
        images = content["setting"].get("autoattack_images", 8)
        return (
            f"Emoji, PGD-20 and AutoAttack at {eps}, AutoAttack on {images} pictures per split; "
            "percent, mean ± standard error."
        )
    pictures = {(row["split"], row["attack"]): row["pictures"] for row in content["rows"]}
    told = []
    for split in dict.fromkeys(split for split, _ in pictures):
        counts = [f"{pictures[split, attack]} {attack}" for attack in ATTACKS if (split, attack) in pictures]
        told.append(f"{split} {', '.join(counts)}")
    return f"Emoji, attacks at {eps}; percent, mean ± standard error over seeds. Pictures: {'; '.join(told)}."


def chosen_rates(content: Content) -> dict[str, float]:
    """The learning rate with the best score, of methods of which all rates were tried."""
    scores: dict[str, dict[float, float]] = {}
    for entry in content["tuning"]:
        scores.setdefault(label_of(entry), {})[entry["learning_rate"]] = entry["score"]
    return {
        name: best(tried, _grid(content, name))
        for name, tried in scores.items()
        if set(tried) >= set(_grid(content, name))
    }


def _grid(content: Content, label: str) -> list[float]:
    """Rates that a method was to be tried at; results from before there were several grids have one for all."""
    every: dict[str, list[float]] | list[float] = content["setting"]["learning_rates"]
    return every if isinstance(every, list) else every[label]


def rates_sentence(content: Content) -> str:
    """Which learning rates were chosen, and at which the methods without a choice of their own ran."""
    chosen = chosen_rates(content)
    grids = sorted({tuple(sorted(_grid(content, name))) for name in chosen})
    trained = {label_of(run): run["learning_rate"] for run in content["runs"] if run["learning_rate"]}
    untuned = {name: rate for name, rate in trained.items() if name not in chosen}
    other = {name: rate for name, rate in trained.items() if chosen.get(name, rate) != rate}
    edge = sum(rate in (min(_grid(content, name)), max(_grid(content, name))) for name, rate in chosen.items())
    told = " and ".join(", ".join(map(_shown, grid)) for grid in grids)
    lines = [
        f"Learning rates chosen on validation pictures: {_by_rate(chosen)}.",
        f"{edge} of these {len(chosen)} lie on the edge of the grid ({told}).",
    ]
    lines += [f"Without a choice of their own ran: {_by_rate(untuned)}."] if untuned else []
    lines += [f"At another rate than the one chosen ran: {_by_rate(other)}."] if other else []
    return "\n".join(lines) if chosen else ""


def _by_rate(rates: dict[str, float]) -> str:
    groups = {rate: [f"`{name}`" for name in rates if rates[name] == rate] for rate in sorted(set(rates.values()))}
    return "; ".join(f"{_shown(rate)} by {', '.join(names)}" for rate, names in groups.items())


def _shown(rate: float) -> str:
    digits, _, exponent = f"{rate:.3e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


def _has(rows: list[dict[str, Any]], attack: str, level: str) -> bool:
    return any((row["attack"], row["level"]) == (attack, level) for row in rows)


def _level(level: str) -> str:
    return level.upper() if level == "hca" else level


def _values(content: Content, key: str) -> list[str]:
    return [str(value) for value in sorted({row[key] for row in content["rows"]})]


def _table_head(title: str, header: Sequence[str]) -> list[str]:
    return [f"**{title}**", "", f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]


def _cell(values: list[float], digits: int) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.{digits}f} ± {error:.{digits}f}"


TABLES = {ATTACKED: markdown, CERTIFIED: certified_markdown}
