"""Averages of zero-shot rows with exact intervals, recomputed from rows alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hrvlm.attacks.records import CLEAN
from hrvlm.certificates.statistics.binomial import clopper_pearson_interval
from hrvlm.evaluation.zero_shot.records import ZeroShotRecord
from hrvlm.rows.measures import Measure, Measured

CONFIDENCE = 0.95
WORST = "worst case"
Row = Mapping[str, Any]
Aim = tuple[str, float]


def summarise_zero_shot(rows: Iterable[Row]) -> dict[str, Any]:
    """Accuracy per data set, attack and budget, and its mean over data sets, as nested dictionaries ready for JSON.

    Args:
        rows: Of one run, one per data set, image, attack and budget.

    Returns:
        `{"norm", "head", "confidence", "data": [...], "mean": [...]}`. An entry of "data" has data, num_classes, images
        and per attack and budget ("results") images, correct, accuracy with the Clopper-Pearson interval (lower, upper)
        of the given confidence, and macro_accuracy, the mean over the classes that have images. Under several attacks
        with one budget, "worst case" counts the images that are right under all of them. "mean" weighs data sets alike,
        over those that have results of the attack and budget. "invalid" tells of how many images scores were not
        finite, if of any.

    Raises:
        ValueError: If a row occurs twice.
    """
    rows = list(rows)
    keys = {(row["data"], row["index"], row["attack"], row["eps"]) for row in rows}
    if len(keys) < len(rows):
        raise ValueError("expected one row per data set, image, attack and budget, got some twice")
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["data"]].append(row)
    data = [_data(name, group) for name, group in groups.items()]
    invalid = {(row["data"], row["index"]) for row in rows if row["prediction"] < 0}
    return {
        "norm": rows[0]["norm"] if rows else None,
        "head": rows[0]["head"] if rows else None,
        "confidence": CONFIDENCE,
        "data": data,
        "mean": _means(data),
    } | ({"invalid": len(invalid)} if invalid else {})


def begun_aims(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Data set and result of each attack that was stopped before it had rows of all images, and not gone on with."""
    return [
        (entry["data"], result)
        for entry in summary["data"]
        for result in entry["results"]
        if result["images"] < entry["images"] and result["attack"] != WORST
    ]


def zero_shot_measures(records: Sequence[ZeroShotRecord]) -> Iterator[Measured]:
    """By which models are compared: accuracy on each data set, clean, under attacks, and under the worst of several.

    Args:
        records: Of images of one index, of any data sets and budgets.
    """
    groups: dict[tuple[str, int], dict[Aim, float]] = defaultdict(dict)
    for record in records:
        groups[record.data, record.num_classes][record.attack, record.eps] = float(record.correct)
    for (data, classes), found in groups.items():
        aims = sorted(found, key=lambda aim: (aim[0] != CLEAN, aim[1], aim[0]))
        named = [
            (CLEAN if attack == CLEAN else f"under {attack}{_at(eps)}", found[attack, eps]) for attack, eps in aims
        ]
        for eps in sorted({eps for attack, eps in aims if attack != CLEAN}):
            attacks = [attack for attack, budget in aims if budget == eps and attack != CLEAN]
            if len(attacks) > 1:
                worst = min(found[attack, eps] for attack in attacks)
                named.append((f"under the worst of {', '.join(attacks)}{_at(eps)}", worst))
        yield from ((Measure(data, 0, f"{classes} classes", name, "right"), value) for name, value in named)


def _at(eps: float) -> str:
    return f" at {eps * 255:.3g}/255"


def _data(name: str, rows: list[Row]) -> dict[str, Any]:
    by_aim: dict[Aim, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        by_aim[row["attack"], row["eps"]][row["index"]] = row
    aims = sorted(by_aim, key=lambda aim: (aim[0] != CLEAN, aim[1], aim[0]))
    results = [_result(*aim, list(by_aim[aim].values())) for aim in aims]
    for eps in sorted({eps for attack, eps in aims if attack != CLEAN}):
        groups = [by_aim[aim] for aim in aims if aim[1] == eps and aim[0] != CLEAN]
        if len(groups) > 1:
            results.append(_result(WORST, eps, _worst(groups)))
    images = len({row["index"] for row in rows})
    return {"data": name, "num_classes": rows[0]["num_classes"], "images": images, "results": results}


def _worst(groups: list[dict[int, Row]]) -> list[Row]:
    """A row per image that all attacks have, wrong where it is wrong under one of them."""
    shared = set.intersection(*(set(group) for group in groups))
    return [
        {**groups[0][index], "correct": all(group[index]["correct"] for group in groups)} for index in sorted(shared)
    ]


def _result(attack: str, eps: float, rows: list[Row]) -> dict[str, Any]:
    correct, images = sum(row["correct"] for row in rows), len(rows)
    lower, upper = clopper_pearson_interval(correct, images, 1.0 - CONFIDENCE)
    classes: dict[int, list[bool]] = defaultdict(list)
    for row in rows:
        classes[row["label"]].append(row["correct"])
    return {
        "attack": attack,
        "eps": eps,
        "images": images,
        "correct": correct,
        "accuracy": correct / images,
        "lower": float(lower),
        "upper": float(upper),
        "macro_accuracy": sum(sum(right) / len(right) for right in classes.values()) / len(classes),
    }


def _means(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over data sets, where there are several."""
    groups: dict[Aim, list[dict[str, Any]]] = defaultdict(list)
    for entry in data if len(data) > 1 else []:
        for result in entry["results"]:
            groups[result["attack"], result["eps"]].append(result)
    return [
        {
            "attack": attack,
            "eps": eps,
            "data": len(found),
            **{name: sum(result[name] for result in found) / len(found) for name in ("accuracy", "macro_accuracy")},
        }
        for (attack, eps), found in groups.items()
    ]
