"""Averages and paired tests of benchmarks/training.py, recomputed from the lines on file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

from machines import machine
from training_attacks import APGD, LEAF, PGD, TOGETHER, subset
from training_certificates import ALPHA, certified_shares, mean_depths
from training_methods import (
    CERTIFIED_LEVELS,
    EVERYTHING,
    HIERARCHICAL,
    METHODS,
    NOISY,
    PRETRAINED,
    REFERENCE,
    SIGMA,
    SMOOTHED,
    SPLITS,
    families,
    named,
)
from training_rates import grids
from training_statistics import crossed, holm

Line = dict[str, Any]
Values = dict[tuple[int, int], float]  # by seed and picture
SUPERCLASS = "superclass"


def attacked(lines: list[Line]) -> dict[str, Any]:
    """What training.json holds."""
    setting, tuning = {**lines[0]}, [line for line in lines if line["part"] == "tuning"]
    del setting["part"]
    scores, reference = _scores(lines), chosen_reference(lines)
    state = grids(scores, [[name for name in names if name in scores] for names in families()])
    return {
        "machine": machine(),
        "setting": setting | {"learning_rates": {name: list(rates) for name, rates in state.rates.items()}},
        "reference": reference,
        "tuning": [_told(line) for line in tuning],
        "runs": [_told(line) for line in lines if line["part"] == "runs"],
        "rows": [row for label, seed in runs_of(lines) for row in _accuracies(lines, label, seed)],
        "differences": list(_corrected(_attack_differences(lines, reference))),
    }


def certified(lines: list[Line]) -> dict[str, Any]:
    """What certified_training.json holds."""
    found = [line for line in lines if line["part"] == "certificates"]
    return {
        "machine": machine(),
        "setting": {"alpha": ALPHA, "noise_seed": 0, "training_noise": SIGMA},
        "runs": [_told(line) for line in lines if line["part"] == "runs"],
        "rows": [
            _told(line, "radii") | {"acr": fmean(line["radii"]), "certified": certified_shares(line["radii"])}
            for line in found
            if line["level"] in CERTIFIED_LEVELS
        ],
        "profiles": [
            _told(line, "radii", "level") | {"mean_depth": mean_depths(line["radii"])}
            for line in found
            if line["level"] == "profile"
        ],
        "differences": list(_corrected(_radius_differences(found))),
    }


def _scores(lines: list[Line]) -> dict[str, dict[float, float]]:
    """Scores of validation by method and learning rate."""
    scores: dict[str, dict[float, float]] = {}
    for line in lines:
        if line["part"] == "tuning":
            scores.setdefault(line["label"], {})[line["learning_rate"]] = line["score"]
    return scores


def chosen_reference(lines: list[Line]) -> str:
    """The hierarchical method that others are tested against: that of the best score on validation pictures."""
    best = {name: max(scores.values()) for name, scores in _scores(lines).items() if name in HIERARCHICAL}
    return max(best, key=best.__getitem__, default=REFERENCE)


def label_of(row: Line) -> str:
    """What tables call a method."""
    noisy = row["method"] + NOISY
    return noisy if row.get("noise") and noisy in EVERYTHING else str(row["method"])


def runs_of(lines: list[Line]) -> list[tuple[str, int]]:
    """Labels and seeds of all runs, in the order of the methods."""
    order = {label: place for place, label in enumerate((PRETRAINED, *EVERYTHING))}
    found = {(line["label"], line["seed"]) for line in lines if line["part"] == "runs"}
    return sorted(found, key=lambda run: (order.get(run[0], len(order)), run))


def _told(line: Line, *without: str) -> Line:
    """A line as results have it: without its part, and with method and noise in place of the label."""
    kept = {key: value for key, value in line.items() if key not in ("part", "label", *without)}
    return {**named(line["label"]), **kept}


def _accuracies(lines: list[Line], label: str, seed: int) -> Iterator[Line]:
    """Rows of a run: leaf, superclass (mean over the upper levels), and all levels together (HCA)."""
    own = [line for line in lines if line["part"] == "accuracy" and (line["label"], line["seed"]) == (label, seed)]
    for split in SPLITS:
        for attack in dict.fromkeys(line["attack"] for line in own):
            found = [line for line in own if (line["split"], line["attack"]) == (split, attack)]
            shares = {line["level"]: fmean(map(int, line["right"])) for line in found}
            common = {**named(label), "seed": seed, "split": split}
            upper = [share for level, share in shares.items() if level not in (LEAF, TOGETHER)]
            shown = {LEAF: shares.get(LEAF), SUPERCLASS: fmean(upper) if upper else None, "hca": shares.get(TOGETHER)}
            for level, accuracy in shown.items():
                if accuracy is not None:
                    pictures = len(found[0]["right"])
                    yield {**common, "level": level, "attack": attack, "accuracy": accuracy, "pictures": pictures}


def _attack_differences(lines: list[Line], reference: str) -> Iterator[Line]:
    """The reference less every other method without noise."""
    accuracy = [line for line in lines if line["part"] == "accuracy"]
    labels = [label for label in dict.fromkeys(label for label, _ in runs_of(lines)) if label in METHODS]
    others = [label for label in labels if label != reference and not named(label)["noise"]]
    for split in SPLITS:
        for attack in (PGD, APGD):
            for level in (LEAF, SUPERCLASS):
                place = {"split": split, "attack": attack, "level": level}
                chosen = [line for line in accuracy if (line["split"], line["attack"]) == (split, attack)]

                def values(label: str, level: str = level, chosen: list[Line] = chosen) -> Values:
                    return _signs([line for line in chosen if line["label"] == label], level)

                yield from _differences(reference, others, values, place)


def _signs(lines: list[Line], level: str) -> Values:
    """Accuracy by seed and picture, the mean over the upper levels of a superclass."""
    found: dict[tuple[int, int], list[int]] = {}
    for line in lines:
        if line["level"] == level or (level == SUPERCLASS and line["level"] not in (LEAF, TOGETHER)):
            for index, digit in zip(subset(line["subset"]), line["right"], strict=True):
                found.setdefault((line["seed"], index), []).append(int(digit))
    return {place: fmean(digits) for place, digits in found.items()}


def _radius_differences(lines: list[Line]) -> Iterator[Line]:
    """Radii of the smoothed method less those of every other method with noise, at the sigma of training."""
    labels = [label for label in METHODS if any(line["label"] == label for line in lines) and named(label)["noise"]]
    reference = SMOOTHED if SMOOTHED in labels else REFERENCE + NOISY
    others = [label for label in labels if label != reference]
    for split in SPLITS:
        for level in CERTIFIED_LEVELS:
            place = {"split": split, "sigma": SIGMA, "level": level}
            chosen = [line for line in lines if all(line[key] == value for key, value in place.items())]

            def values(label: str, chosen: list[Line] = chosen) -> Values:
                own = [line for line in chosen if line["label"] == label]
                return {(line["seed"], i): radius for line in own for i, radius in enumerate(line["radii"])}

            yield from _differences(reference, others, values, place)


def _differences(reference: str, others: list[str], values: Callable[[str], Values], place: Line) -> Iterator[Line]:
    """Paired tests of one method against others, on the seeds that both have."""
    first = values(reference)
    for other in others:
        second = values(other)
        seeds = sorted({seed for seed, _ in first} & {seed for seed, _ in second})
        pictures = sorted({index for _, index in first} & {index for _, index in second})
        if seeds and len(pictures) > 1:
            table = [[first[seed, index] - second[seed, index] for index in pictures] for seed in seeds]
            found = crossed(table)
            compared = {"method": reference, "less": other, "seeds": len(seeds), "pictures": len(pictures)}
            numbers = {"difference": found.estimate, "error": found.error, "p_value": found.p_value}
            yield {**compared, **place, **numbers}


def _corrected(differences: Iterator[Line]) -> Iterator[Line]:
    """With p-values after Holm, all tests of a split being one family."""
    found = list(differences)
    for split in SPLITS:
        family = [entry for entry in found if entry["split"] == split]
        yield from (
            {**entry, "holm": value}
            for entry, value in zip(family, holm([entry["p_value"] for entry in family]), strict=True)
        )
