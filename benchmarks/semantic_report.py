"""The tables and figures of benchmarks/semantic.py, made from its result file and quoted in docs/semantic.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import semantic_figures
from machines import told

TABLE = Path(__file__).parent / "results" / "semantic.md"
METHODS = {"pixel_line": "pixel line", "embedding_line": "embedding line", "text": "text", "image": "image"}


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f}"


def lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def _discrepancy(result: dict[str, Any], level: str, against: str) -> str:
    entries = [(change["name"], change["levels"][level]) for change in result["changes"]]
    rows = [
        [name, *(percent(entry[key]) for key in ("reference", "pictures"))]
        + [percent(entry[method][against]) for method in METHODS]
        for name, entry in entries
    ]
    means = [statistics.fmean(entry[key] for _, entry in entries) for key in ("reference", "pictures")]
    means += [statistics.fmean(entry[method][against] for _, entry in entries) for method in METHODS]
    return lines(("change", "P arc", "P pictures", *METHODS.values()), [*rows, ["mean", *map(percent, means)]])


def _levels(result: dict[str, Any]) -> str:
    rows = []
    for level in result["changes"][0]["levels"]:
        entries = [change["levels"][level] for change in result["changes"]]
        means = [statistics.fmean(entry[method]["discrepancy"] for entry in entries) for method in METHODS]
        rows.append([level, *map(percent, means)])
    return lines(("scorer and level", *METHODS.values()), rows)


def _quality(result: dict[str, Any]) -> str:
    rows = [
        [
            change["name"],
            *(f"{change['alignment'][key]:.3f}" for key in ("text", "image", "fit")),
            f"{change['wording']['alignment']:.3f}",
            percent(change["wording"]["spread"]),
        ]
        for change in result["changes"]
    ]
    return lines(("change", "text", "image", "fit of the arc", "other wordings", "spread of P"), rows)


def _sweep(result: dict[str, Any]) -> str:
    deltas = result["setting"]["deltas"]
    rows = [[change["name"], *map(percent, change["sweep"]["coverage"])] for change in result["changes"]]
    for title, key in (
        ("sampled, stable part", "conditional_invariance"),
        ("sampled, whole range", "overall_invariance"),
    ):
        columns = zip(*(change["sweep"][key] for change in result["changes"]), strict=True)
        known = [[value for value in column if value is not None] for column in columns]
        worst = [min(values) if key == "conditional_invariance" else statistics.fmean(values) for values in known]
        rows.append([title, *map(percent, worst)])
    return lines(("change", *(f"{delta:g}" for delta in deltas)), rows)


def markdown(result: dict[str, Any]) -> str:
    """All tables, in percent."""
    leaf = next(iter(result["changes"][0]["levels"]))
    proxies = ", ".join(f"{family} {value:.2f}" for family, value in result["proxies"].items())
    setting = result["setting"]
    parts = [
        f"Discrepancy from the reference arc, {leaf}, {setting['images']} images, percent (lower is better):",
        _discrepancy(result, leaf, "discrepancy"),
        f"Discrepancy from the pictures themselves ({setting['frames']} of each sequence), {leaf}, percent:",
        _discrepancy(result, leaf, "from_pictures"),
        "Discrepancy from the reference arc, mean over the changes, percent:",
        _levels(result),
        "Mean cosine with the reference arc (text- and image-specified), and what another wording changes:",
        _quality(result),
        "Stable coverage over the misalignment bound, text-specified, percent; the last two rows are the share of "
        "sampled misalignments that keep the label (worst change on the stable part; mean on the whole range):",
        _sweep(result),
        f"Spearman agreement of prompts and pictures within a family: {proxies}.",
        f"Measured on: {told(result['machine'])}; {sum(change['seconds'] for change in result['changes']):.0f} s.",
    ]
    return "\n\n".join(parts) + "\n"


def write(result: dict[str, Any]) -> None:
    """Writes the figures, and the tables beside the result file."""
    TABLE.write_text(markdown(result), encoding="utf-8")
    semantic_figures.write(result)
