"""`train.py fit` on two processes: losses, rows and checkpoints are those of one process."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hrvlm.attacks.records import robustness_key
from hrvlm.certificates import done_keys, read_rows
from hrvlm.models import load

ROOT = Path(__file__).parents[2]
ROBUST, CHECKPOINT = "hrvlm.callbacks.RobustValidationCallback", "lightning.pytorch.callbacks.ModelCheckpoint"
CHOSEN = {"monitor": "robust/pgd2/kinds/0", "mode": "max", "filename": "best"}


@pytest.fixture(scope="module")
def both(make_settings: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder and output of a run like `finished`, its batches dealt to two processes."""
    folder = tmp_path_factory.mktemp("both")
    chosen = make_settings(folder)
    chosen["data"]["init_args"]["batch_size"] = 4
    chosen["trainer"] |= {"val_check_interval": 2}
    chosen["trainer"]["callbacks"][2]["init_args"]["save_on_train_epoch_end"] = True
    inside = [(ROBUST, {"num_images": 9, "threat_model": {"eps": 0.02}, "steps": 2}), (CHECKPOINT, CHOSEN)]
    chosen["trainer"]["callbacks"] += [{"class_path": name, "init_args": given} for name, given in inside]
    config = folder / "given.yaml"
    config.write_text(yaml.safe_dump(chosen), encoding="utf-8")
    command = [sys.executable, "train.py", "fit", "--config", str(config), "--trainer.devices", "2"]
    command += ["--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder / "run" / "version_0", ended.stderr


def logged(folder: Path, name: str) -> list[float]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]


def rows(paths: list[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_losses_are_those_of_one_process_with_the_global_batch(both: tuple[Path, str], finished: Any) -> None:
    alone, together = logged(finished.folder, "train/loss"), logged(both[0], "train/loss")
    assert len(alone) == len(together) == 8
    assert together[0] == pytest.approx(alone[0], rel=1e-5)
    assert together == pytest.approx(alone, rel=2e-2)  # rounding flips signs of tiny gradients in the attack
    accuracies = [logged(folder, "validation/accuracy/kinds") for folder in (finished.folder, both[0])]
    assert all(value * 32 == pytest.approx(round(value * 32), abs=1e-4) for value in accuracies[1])  # of all 32, once


@pytest.mark.slow
def test_every_row_is_written_by_one_process_exactly(both: tuple[Path, str], finished: Any) -> None:
    for stage in ("before", "after"):
        name = f"robustness/{stage}.rank=*.jsonl"
        paths = sorted(both[0].glob(name))
        assert len(paths) == 2
        parts = (paths, sorted(finished.folder.glob(name)))
        keys = [sorted(robustness_key(row) for row in rows(part)) for part in parts]
        assert len(keys[0]) == len(set(keys[0])) >= 9 * 2 * 2
        assert keys[0] == keys[1]
    for epoch in range(2):
        paths = sorted(both[0].glob(f"certificates/epoch={epoch:03d}/rank=*.jsonl"))
        assert len(paths) == 2
        records = [record for path in paths for record in read_rows(path)]
        keys = done_keys(records)
        assert len(keys) == len(records) > 0
        assert keys == done_keys(read_rows(finished.folder / f"certificates/epoch={epoch:03d}/rank=0.jsonl"))


@pytest.mark.slow
def test_processes_choose_one_checkpoint_by_the_accuracy_of_all_inside_epochs(both: tuple[Path, str]) -> None:
    folder, _ = both
    shares = []
    for step in (2, 4, 6, 8):
        paths = sorted((folder / "robust").glob(f"step={step:07d}.rank=*.jsonl"))
        assert len(paths) == 2
        found = [row for row in rows(paths) if row["attack"] == "pgd2"]
        assert sorted(row["index"] for row in found) == [i * 32 // 9 for i in range(9)]
        shares.append(sum(row["correct"] for row in found) / 9)
    assert logged(folder, CHOSEN["monitor"]) == pytest.approx(shares)
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["global_step"]
    assert shares[best // 2 - 1] == max(shares)


@pytest.mark.slow
def test_checkpoints_load_and_no_process_complained(both: tuple[Path, str]) -> None:
    folder, output = both
    loaded = load(folder / "checkpoints" / "1.ckpt")
    assert loaded.classes is not None
    state = torch.load(folder / "checkpoints" / "1.ckpt", weights_only=True)["state_dict"]
    assert not any(key.startswith("module.") for key in state)
    assert "Traceback" not in output
    assert "find_unused_parameters" not in output
