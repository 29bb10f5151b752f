"""Tests of the rows that the robustness callback writes."""

from __future__ import annotations

import json
from typing import Any

import torch

from hrvlm.data.base import images_and_labels
from hrvlm.data.folder import FolderDataset
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.trees import load_forest


def test_rows_are_of_the_chosen_pictures_and_clean_accuracy_is_the_models(finished: Any) -> None:
    path = finished.folder / "robustness" / "after.rank=0.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    chosen = [position * 32 // 9 for position in range(9)]
    data = FolderDataset(finished.settings["data"]["init_args"]["train_folder"], image_size=32)
    loaded = load(finished.checkpoint(1))
    forest = load_forest(finished.settings["model"]["init_args"]["trees"], leaves=list(loaded.classes or ()))
    images, labels = images_and_labels(data, chosen)
    with torch.no_grad():
        expected = HierarchicalClassifier(loaded.model, loaded.head, forest).predict(images)
    for key, predictions in expected.items():
        targets = forest[key.tree].ancestors[key.level][labels].tolist()
        for attack in ("clean", "pgd2"):
            part = [row for row in rows if row["level"] == key.level and row["attack"] == attack]
            assert sorted(row["index"] for row in part) == chosen
            assert [row["label"] for row in part] == targets
        clean = [row for row in rows if row["level"] == key.level and row["attack"] == "clean"]
        assert [row["prediction"] for row in clean] == predictions.tolist()
        attacked = [row for row in rows if row["level"] == key.level and row["attack"] == "pgd2"]
        assert all(before["correct"] or not after["correct"] for before, after in zip(clean, attacked, strict=True))
    assert all(row["correct"] == (row["label"] == row["prediction"]) for row in rows)
    assert (finished.folder / "robustness" / "before.rank=0.jsonl").exists()
