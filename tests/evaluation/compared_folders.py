"""Folders of results for comparisons, made of rows without a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hrvlm.attacks.records import RobustnessRecord
from hrvlm.certificates import SmoothingRecord, clopper_pearson_lower, smoothing_radius
from hrvlm.evaluation.zero_shot.records import ZeroShotRecord

TREES = [{"name": "t", "levels": ["leaf", "group"], "digest": "d"}]
RUN = {
    "trees": TREES,
    "split": None,
    "data_size": 40,
    "pictures": "p",
    "sigma": 0.25,
    "alpha": 0.01,
    "n0": 10,
    "n": 100,
}
ATTACK = {"trees": TREES, "split": None, "data_size": 40, "pictures": "p", "norm": "linf", "eps": 0.01}


def smoothed(index: int, level: int, count: int, **changes: Any) -> dict[str, Any]:
    """A smoothing row with the right class and so many of a hundred copies."""
    lower = clopper_pearson_lower(count, 100, 0.005)
    told = {
        "index": index, "label": 1, "tree": "t", "level": level, "level_name": TREES[0]["levels"][level],
        "prediction": 1, "correct": True, "reason": None if lower > 0.5 else "not above 1/2", "sigma": 0.25,
        "noise_space": "pixels", "alpha": 0.01, "alpha_share": 0.005, "num_statements": 2, "n0": 10, "n": 100,
        "selection_count": 9, "count": count, "invalid": 0, "lower": lower,
        "radius": smoothing_radius(count, 100, 0.005, 0.25), "abstain": lower <= 0.5, "seed": 0,
    }  # fmt: skip
    return SmoothingRecord(**told | changes).to_row()


def attacked(index: int, attack: str, right: bool, *, level: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of a level that is attacked itself, or of its clean image; clean images are right."""
    clean = attack == "clean"
    told: dict[str, Any] = {
        "stage": None, "index": index, "tree": "t", "level": level, "level_name": TREES[0]["levels"][level],
        "num_classes": 3, "attack": attack, "attacked_tree": None if clean else "t",
        "attacked_level": None if clean else level, "attacked": not clean, "norm": "linf", "eps": 0.01, "label": 1,
        "prediction": 1 if right else 2, "correct": right, "clean_correct": right if clean else True, "broken_by": None,
        "distance": None, "members": None if clean else attack,
    }  # fmt: skip
    return RobustnessRecord(**told | changes).to_row()


def zero_shot_folder(
    folder: Path, right: Mapping[str, Mapping[tuple[str, float], Sequence[bool]]], weights: str = "w", **changes: Any
) -> Path:
    """Zero-shot rows of data sets, by attack and budget; images that are right when clean in all of them."""
    rows = [
        ZeroShotRecord(
            data=data, index=index, num_classes=3, head="cosine", attack=attack, norm="linf", eps=eps, label=1,
            prediction=1 if ok else 2, correct=ok,
        ).to_row()
        for data, aims in right.items()
        for (attack, eps), oks in aims.items()
        for index, ok in enumerate(oks)
    ]  # fmt: skip
    told = {"data_size": 40, "pictures": "p", "num_classes": 3, "prompts": "q"}
    settings = {"head": "cosine", "norm": "linf", "data": {name: told | changes for name in right}}
    return written(folder, rows, settings, weights)


def written(folder: Path, rows: Iterable[Mapping[str, Any]], settings: Mapping[str, Any], weights: str = "w") -> Path:
    """A folder with rows and settings, as a command leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"data": "zero_shot.jsonl", "norm": "robustness.jsonl"}
    name = next((name for key, name in names.items() if key in settings), "certificates.jsonl")
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps({"weights": weights, **settings}), encoding="utf-8")
    return folder


def run_folder(folder: Path, counts: Iterable[int], weights: str = "w", **settings: Any) -> Path:
    """A run of two levels of as many images as there are counts; groups have 99 copies of theirs each."""
    rows = [row for i, count in enumerate(counts) for row in (smoothed(i, 0, count), smoothed(i, 1, 99))]
    return written(folder, rows, RUN | settings, weights)


def attack_folder(folder: Path, right: Iterable[bool], weights: str = "w", **settings: Any) -> Path:
    """PGD on the leaves of as many images, all of which are right when clean."""
    rows = [row for i, ok in enumerate(right) for row in (attacked(i, "clean", True), attacked(i, "pgd20", ok))]
    return written(folder, rows, ATTACK | settings, weights)
