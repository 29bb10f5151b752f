"""Robust accuracy at every validation, inside epochs: rows, what is logged, the checkpoint it chooses, and stopping."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from hrvlm.attacks import ThreatModel
from hrvlm.attacks.evaluation import evaluate_robustness
from hrvlm.callbacks import RobustValidationCallback
from hrvlm.data.folder import FolderDataModule, FolderDataset
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.trees import load_forest

ROBUST = "hrvlm.callbacks.RobustValidationCallback"
CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
STOPPING = "lightning.pytorch.callbacks.EarlyStopping"
MONITOR = {"monitor": "robust/pgd2/kinds/0", "mode": "max"}
SUBSET: dict[str, Any] = {"num_images": 9, "steps": 2, "batch_size": 4}
KEPT = {"save_top_k": -1, "filename": "{step}", "auto_insert_metric_name": False}
VALIDATED = [2, 4, 6, 8]


def configured(chosen: dict[str, Any], *callbacks: tuple[str, dict[str, Any]], **trainer: Any) -> dict[str, Any]:
    chosen["trainer"] |= {"val_check_interval": 2, "check_val_every_n_epoch": None, "limit_val_batches": 1} | trainer
    chosen["trainer"]["callbacks"] = [{"class_path": name, "init_args": given} for name, given in callbacks]
    return chosen


@pytest.fixture(scope="module")
def validated(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], run_train: Callable[..., Path]
) -> Path:
    """Two epochs of four steps, attacked after every second one: leaves with one budget, all levels with another."""
    folder = tmp_path_factory.mktemp("validated")
    chosen = configured(
        make_settings(folder),
        (ROBUST, {**SUBSET, "threat_model": {"eps": 0.02}}),
        (ROBUST, {**SUBSET, "threat_model": {"eps": 0.005}, "every_level": True}),
        (CHECKPOINT, MONITOR | KEPT | {"save_last": True}),
    )
    return run_train(folder, chosen)


def rows_of(folder: Path, label: str, step: int) -> list[dict[str, Any]]:
    text = (folder / label / f"step={step:07d}.rank=0.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def logged(folder: Path, name: str) -> list[float]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def test_budgets_write_and_log_beside_each_other_inside_epochs(validated: Path) -> None:
    for label, eps, levels in (("robust", 0.02, {0}), ("robust_2", 0.005, {0, 1})):
        names = sorted(path.name for path in (validated / label).iterdir())
        assert names == [f"step={step:07d}.rank=0.jsonl" for step in VALIDATED]
        shares: dict[str, list[float]] = {}
        for step in VALIDATED:
            rows = rows_of(validated, label, step)
            assert {row["eps"] for row in rows} == {eps}
            assert {row["attacked_level"] for row in rows if row["attack"] != "clean"} == levels
            assert {row["index"] for row in rows} == {i * 32 // 9 for i in range(9)}
            for attack, level in {(row["attack"], row["level"]) for row in rows}:
                right = [row["correct"] for row in rows if (row["attack"], row["level"]) == (attack, level)]
                shares.setdefault(f"{label}/{attack}/kinds/{level}", []).append(fmean(right))
        assert f"{label}/pgd2/kinds/0" in shares
        for name, values in shares.items():
            assert logged(validated, name) == pytest.approx(values)


def test_the_checkpoint_of_the_highest_robust_accuracy_is_known_and_holds_the_weights_that_reached_it(
    validated: Path, pictures: Path, tree_file: Path
) -> None:
    folder = validated / "checkpoints"
    assert {f"{step}.ckpt" for step in VALIDATED} <= {path.name for path in folder.iterdir()}
    state = torch.load(folder / "last.ckpt", weights_only=True)["callbacks"]
    (kept,) = [value for name, value in state.items() if name.startswith("ModelCheckpoint")]
    shares = logged(validated, MONITOR["monitor"])
    assert len(set(shares)) > 1
    best = Path(kept["best_model_path"])
    assert shares[VALIDATED.index(int(best.stem))] == max(shares) == pytest.approx(float(kept["best_model_score"]))
    loaded = load(str(best))
    classifier = HierarchicalClassifier(loaded.model, loaded.head, load_forest([tree_file], leaves=loaded.classes))
    plan = RobustValidationCallback(threat_model=ThreatModel(eps=0.02), **SUBSET).plan
    data = FolderDataset(pictures, image_size=32)
    found = evaluate_robustness(classifier, data, plan.indices(len(data)), plan, levels=classifier.keys[:1])
    assert [record.to_row() for part in found for record in part] == rows_of(validated, "robust", int(best.stem))


@pytest.mark.slow
def test_training_is_the_same_with_and_without_and_goes_on_from_a_checkpoint_inside_an_epoch(
    validated: Path, make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    end = torch.load(validated / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    plain = configured(make_settings(tmp_path / "plain"), (CHECKPOINT, {"save_last": True}), limit_val_batches=0)
    folder = run_train(tmp_path / "plain", plain)
    assert logged(folder, "train/loss") == logged(validated, "train/loss")
    without = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(end[name], without[name]) for name in end)
    again = configured(
        make_settings(tmp_path / "again"),
        (ROBUST, {**SUBSET, "threat_model": {"eps": 0.02}}),
        (CHECKPOINT, MONITOR | KEPT | {"save_last": True}),
    )
    folder = run_train(tmp_path / "again", again, "--ckpt_path", str(validated / "checkpoints" / "2.ckpt"))
    assert logged(folder, "train/loss") == logged(validated, "train/loss")[2:]
    assert sorted(path.name[5:12] for path in (folder / "robust").iterdir()) == ["0000004", "0000006", "0000008"]
    for step in VALIDATED[1:]:
        assert rows_of(folder, "robust", step) == rows_of(validated, "robust", step)


def test_training_stops_early_by_robust_accuracy_inside_an_epoch(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = configured(
        make_settings(tmp_path),
        (ROBUST, {**SUBSET, "threat_model": {"eps": 0.02}}),
        (CHECKPOINT, MONITOR | {"filename": "best"}),
        (STOPPING, MONITOR | {"min_delta": 2.0, "patience": 2}),  # nothing is ever an improvement
        max_epochs=4,
    )
    folder = run_train(tmp_path, chosen)
    assert len(logged(folder, "train/loss")) == 6
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["best.ckpt"]


def test_a_limited_validation_is_spread_over_all_classes(pictures: Path) -> None:
    module = FolderDataModule(
        train_folder=str(pictures), evaluation_folders={"validation": str(pictures)}, image_size=32, batch_size=8,
        num_workers=0,
    )  # fmt: skip
    settings: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    for limit, labels in ((1, [*range(8)]), (2, [i // 2 for i in range(16)]), (1.0, [i // 4 for i in range(32)])):
        module.trainer = Trainer(limit_val_batches=limit, **settings)
        assert [int(label) for batch in module.val_dataloader() for label in batch["label"]] == labels
