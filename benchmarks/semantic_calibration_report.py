"""Tables of benchmarks/semantic_calibration.py for docs/semantic.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from semantic_changes import CHANGES, library
from semantic_models import ATTACKED, EPS

EPSILONS = ("0.05", "0.1", "0.2")
WORDS = {
    "packaged": "The packaged model",
    "robust": "After robust fine-tuning",
    "aligned": "After robust fine-tuning with alignment of pictures",
}


def markdown(result: dict[str, Any]) -> str:
    """The part of docs/semantic.md that is measured."""
    return "\n".join(tables(result))


def tables(result: dict[str, Any]) -> Iterator[str]:
    """Paragraphs and rows."""
    setting = result["setting"]
    divided = f", in {setting['partitions']} random divisions of the images" if "partitions" in setting else ""
    yield (
        "Share of the change that is claimed / images whose claim a picture contradicts; emoji by the unseen artist, "
        f"{setting['images']} images, {setting['splits']:,} random calibrations{divided}."
    )
    for name, model in result["models"].items():
        leaf = next(iter(model["changes"].values()))[0]["claim"]
        yield from ("", f"{WORDS[name]}, cosine, leaf level:", "")
        yield from _of_changes(model, leaf)
    attacked = min(ATTACKED, setting["images"])
    budget = f"PGD-20 of {round(255 * EPS)}/255, on {attacked} of the images"
    yield from ("", f"Mean over the changes; beside it leaf accuracy, clean and under {budget}:", "")
    yield from _of_models(result["models"])
    yield from ("", _agreement(next(iter(result["models"].values()))))


def _cell(found: dict[str, Any]) -> str:
    return f"{found['share']:.3f} / {found['violated']:.3f}"


def _of_changes(model: dict[str, Any], claim: str) -> Iterator[str]:
    yield "| change | raw: share / violated | epsilon .05 | epsilon .1 | epsilon .2 |"
    yield "| --- | --- | --- | --- | --- |"
    for name, claims in model["changes"].items():
        found = next(entry for entry in claims if entry["claim"] == claim)
        cells = [f"{found['raw_share']:.3f} / {found['raw_violated']:.3f}", *(_cell(found[e]) for e in EPSILONS)]
        yield f"| {name} | {' | '.join(cells)} |"
    shown = {change.family_name for change in CHANGES}
    for family in library():
        if family not in shown:
            yield f"| {family} | not measured: no exact pictures | | | |"


def _of_models(models: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield "| model | clean, PGD-20 | scorer and level | raw | epsilon .05 | epsilon .1 | epsilon .2 |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, model in models.items():
        by_claim: dict[str, list[dict[str, Any]]] = {}
        for claims in model["changes"].values():
            for found in claims:
                by_claim.setdefault(found["claim"], []).append(found)
        for claim, found in by_claim.items():
            kind = claim.split("/")[0]
            right = model["accuracy"][kind]
            raw = {"share": _mean(found, "raw_share"), "violated": _mean(found, "raw_violated")}
            means = [{k: _mean([f[e] for f in found], k) for k in ("share", "violated")} for e in EPSILONS]
            cells = [_cell(raw), *map(_cell, means)]
            yield f"| {name} | {right['clean']:.3f}, {right['pgd20']:.3f} | {claim} | {' | '.join(cells)} |"


def _mean(found: list[dict[str, Any]], name: str) -> float:
    return float(np.mean([one[name] for one in found]))


def _agreement(model: dict[str, Any]) -> str:
    """Proxy agreement and wording stability by family."""
    words: dict[str, list[dict[str, float]]] = {}
    for change, found in model["wording"].items():
        words.setdefault(change.split(":")[0], []).append(found)
    told = [
        f"{family} {_mean(found, 'alignment'):.3f} and {_mean(found, 'spread'):.3f}" for family, found in words.items()
    ]
    proxies = [f"{family} {value:.2f}" for family, value in model["proxies"].items()]
    return (
        f"Other wordings of a change, by family: mean cosine of the rotations, and spread of the share that keeps its "
        f"label: {'; '.join(told)}. Spearman agreement of prompts and pictures: {', '.join(proxies)}; families with "
        "fewer than three words shown have none."
    )
