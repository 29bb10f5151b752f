"""Tests of the rows that the robustness callback writes."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
import torch

from hrvlm.attacks.records import own_level
from hrvlm.data.folder import FolderDataset
from hrvlm.data.items import images_and_labels
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
            part = [row for row in rows if row["level"] == key.level and row["attack"] == attack and own_level(row)]
            assert sorted(row["index"] for row in part) == chosen
            assert [row["label"] for row in part] == targets
        clean = [row for row in rows if row["level"] == key.level and row["attack"] == "clean"]
        assert [row["prediction"] for row in clean] == predictions.tolist()
        attacked = [row for row in rows if row["level"] == key.level and row["attack"] == "pgd2" and own_level(row)]
        assert all(before["correct"] or not after["correct"] for before, after in zip(clean, attacked, strict=True))
    assert all(row["correct"] == (row["label"] == row["prediction"]) for row in rows)
    assert (finished.folder / "robustness" / "before.rank=0.jsonl").exists()


@pytest.mark.parametrize("stage", ["before", "after"])
def test_averages_and_the_transfer_matrix_are_logged(stage: str, finished: Any) -> None:
    path = finished.folder / "robustness" / f"{stage}.rank=0.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with (finished.folder / "metrics.csv").open(encoding="utf-8") as file:
        logged = {name: value for row in csv.DictReader(file) for name, value in row.items() if value}
    cells: dict[str, list[bool]] = {}
    for row in rows:
        name = f"robustness/{stage}/{row['attack']}/{row['attacked_tree'] or row['tree']}"
        name += f"/{row['level'] if row['attacked_level'] is None else row['attacked_level']}"
        name += "" if own_level(row) else f"/on/{row['tree']}/{row['level']}"
        cells.setdefault(name, []).append(row["correct"])
    assert len(cells) == 2 + 2 * 2
    assert {name for name in logged if name.startswith(f"robustness/{stage}/")} == set(cells)
    for name, correct in cells.items():
        assert float(logged[name]) == pytest.approx(sum(correct) / len(correct))
