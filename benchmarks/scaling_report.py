"""The tables of generative_scaling.py, made from its result file and quoted in docs/generative.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from machines import told

TABLE = Path(__file__).parent / "results" / "generative_scaling.md"


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f}"


def lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def title(entry: dict[str, Any], found: dict[str, Any]) -> str:
    """What a group of images is."""
    return (
        f"sigma {entry['sigma']:g}, {found['images']} images ({found['right']} with the true class), "
        f"measured to n = {found['largest']:,}"
    )


def radius_table(found: dict[str, Any]) -> str:
    """Mean radius: measured, and predicted."""
    header = (
        "n", "ceiling", "measured", "mean of all runs", "pilot: exact sum", "pilot: law", "all labels: exact sum",
        "uniform: exact sum", "uniform: law",
    )  # fmt: skip
    rows = []
    for line in found["lines"]:
        own = line["measured"]
        cells = (
            ["predicted only", "-"] if own is None else [f"{own[k]:.4f}" for k in ("mean_radius", "mean_radius_runs")]
        )
        cells += [f"{line[law][kind]:.4f}" for law, kind in (
            ("pilot", "mean_radius"), ("pilot", "mean_radius_law"), ("labels", "mean_radius"),
            ("uniform", "mean_radius"), ("uniform", "mean_radius_law"),
        )]  # fmt: skip
        rows.append([f"{line['n']:,}", f"{line['ceiling']:.4f}", *cells])
    return lines(header, rows)


def kept_table(found: dict[str, Any], reference: int) -> str:
    """Share of the mean radius of `reference` samples that fewer keep, in percent."""
    header = ("n", "measured", "pilot", "all labels", "uniform", "1.64 z/sqrt n", "2.0238 z/sqrt n")
    by_n = {line["n"]: line for line in found["lines"]}
    end = by_n[reference]
    rows = []
    for n, line in by_n.items():
        if n > reference:
            continue
        both = line["measured"] is not None and end["measured"] is not None
        own = percent(line["measured"]["mean_radius_runs"] / end["measured"]["mean_radius_runs"]) if both else "-"
        predicted = [
            percent(line[law]["mean_radius"] / end[law]["mean_radius"]) for law in ("pilot", "labels", "uniform")
        ]
        slopes = line["slopes"][str(reference)]
        rows.append([f"{n:,}", own, *predicted, percent(slopes["published"]), percent(slopes["exact"])])
    return lines(header, rows)


def accuracy_table(found: dict[str, Any], multiples: Sequence[float]) -> str:
    """Certified accuracy: mean of all measured runs / pilot, exact sum / pilot, law; in percent."""
    rows = []
    for line in found["lines"]:
        cells = []
        for at in range(len(multiples)):
            own = "-" if line["measured"] is None else percent(line["measured"]["certified_accuracy_runs"][at])
            by = [percent(line["pilot"][kind][at]) for kind in ("certified_accuracy", "certified_accuracy_law")]
            cells.append(" / ".join([own, *by]))
        rows.append([f"{line['n']:,}", *cells])
    return lines(("n", *("any radius" if m == 0 else f"{m:g} sigma" for m in multiples)), rows)


def plan_table(found: dict[str, Any], references: Sequence[int]) -> str:
    """Fewest samples for each loss, and how many times fewer than the reference."""
    rows = []
    for plan in found["plans"]:
        if plan["reference"] not in references:
            continue
        what = "mean radius" if plan["multiple"] is None else f"certified at {plan['multiple']:g} sigma"
        kind = "%" if plan["multiple"] is None else " points"
        own = "-" if plan["measured"] is None else f"{plan['measured']:,}"
        times = f"{plan['reference'] / (plan['measured'] or plan['labels']):,.0f}"
        by = [f"{plan[law]:,}" for law in ("pilot", "labels", "uniform")]
        rows.append([f"{plan['reference']:,}", what, f"{100 * plan['loss']:.0f}{kind}", own, *by, times])
    return lines(("reference", "quantity", "loss", "measured", "pilot", "all labels", "uniform", "times fewer"), rows)


def saturation_table(found: dict[str, Any]) -> str:
    """Saturated images, and the mean radius of the others."""
    others, rows = found["saturated"]["others_mean_radius"], []
    for line, value in zip(found["lines"], others, strict=False):
        own = line["measured"]
        kept = "-" if value is None else percent(value / others[-1])
        ceiling = percent(line["ceiling"] / found["lines"][len(others) - 1]["ceiling"])
        alone = "-" if value is None else f"{value:.4f}"
        rows.append([f"{line['n']:,}", percent(own["saturated"]), f"{line['ceiling']:.4f}", ceiling, alone, kept])
    header = (
        "n",
        "all n agree, % of images",
        "their radius",
        "kept, %",
        "mean radius of the never saturated",
        "kept, %",
    )
    return lines(header, rows)


def summary(entry: dict[str, Any], found: dict[str, Any]) -> str:
    """Saturation in one sentence."""
    saturated = found["saturated"]
    return (
        f"Of {found['images']} images at sigma {entry['sigma']:g}, {saturated['images']} "
        f"({percent(saturated['share'])} %) have all {found['largest']:,} samples agreeing."
    )


def source(result: dict[str, Any]) -> str:
    """Where the numbers come from."""
    return (
        f"alpha {result['alpha']:g}, pilot of {result['pilot']} samples per image, {result['split']}; "
        f"`{result['command']}`, {told(result['machine'])}."
    )


def markdown(result: dict[str, Any]) -> str:
    """All tables."""
    parts = [f"# Predicted and measured over the number of noise samples\n\n{source(result)}"]
    for entry in result["sigmas"]:
        for found in entry["groups"]:
            parts += [f"## {title(entry, found)}", "Mean certified radius:", radius_table(found)]
            for reference in dict.fromkeys((found["largest"], 100_000)):
                parts += [f"Kept of the mean radius of {reference:,} samples, percent:", kept_table(found, reference)]
            parts += ["Certified accuracy, percent: mean of all measured runs / pilot, exact sum / pilot, law:"]
            parts += [
                accuracy_table(found, result["multiples"]),
                "Fewest samples:",
                plan_table(found, (found["largest"], 10_000, 100_000)),
            ]
            parts += [summary(entry, found), saturation_table(found)]
    return "\n\n".join(parts) + "\n"


def quoted(result: dict[str, Any]) -> str:
    """What the documentation quotes: the images measured furthest of each sigma."""
    parts = []
    for entry in result["sigmas"]:
        found = entry["groups"][-1]
        parts += [f"Kept of the mean radius of {found['largest']:,} samples, percent, {title(entry, found)}:"]
        parts += [kept_table(found, found["largest"]), summary(entry, found)]
    entry = max(result["sigmas"], key=lambda entry: entry["groups"][-1]["largest"])
    found = entry["groups"][-1]
    parts += [f"Fewest samples, {title(entry, found)}:", plan_table(found, (found["largest"], 100_000)), source(result)]
    return "\n\n".join(parts) + "\n"
