"""Both kinds of training through Lightning on tiny data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hrvlm.data.folder import FolderDataset
from hrvlm.models import load

ROOT = Path(__file__).parents[2]
OBJECTIVE = {
    "class_path": "hrvlm.objectives.HierarchicalObjective",
    "init_args": {"threat_model": {"eps": 0.01}, "ascent": {"step_size": 0.01}},
}
CLEAN = {"class_path": "hrvlm.objectives.CleanObjective"}


def losses(folder: Path) -> list[float]:
    lines = (folder / "losses.txt").read_text(encoding="utf-8").splitlines()
    return [float.fromhex(line.split()[2]) for line in lines]


def short(chosen: dict[str, Any], folder: Path, **trainer: Any) -> dict[str, Any]:
    recorder = {"class_path": "recording.Recorder", "init_args": {"path": str(folder / "losses.txt")}}
    saved = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"dirpath": str(folder / "kept")},
    }
    saved["init_args"] |= {"filename": "end"}
    chosen["trainer"] |= {"callbacks": [recorder, saved], "limit_val_batches": 0} | trainer
    return chosen


def test_fine_tuning_lowers_the_loss_and_moves_what_it_trains_only(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path, tiny_model: Path
) -> None:
    chosen = short(make_settings(tmp_path), tmp_path, max_epochs=5)
    chosen["model"]["init_args"] |= {"optimizer": {"learning_rate": 3e-3, "warmup_steps": 2}, "objective": OBJECTIVE}
    run_train(tmp_path, chosen)
    found = losses(tmp_path)
    assert len(found) == 20
    assert sum(found[-4:]) < 0.9 * sum(found[:4])
    state = torch.load(tmp_path / "kept" / "end.ckpt", weights_only=True)["state_dict"]
    start = load(tiny_model).model.state_dict()
    for key, value in start.items():
        trained = ".visual." in f".{key}" and value.is_floating_point() and "running" not in key
        same = torch.equal(state[f"model.{key}"], value)
        assert same != (trained or key == "clip.text_projection"), key


@pytest.mark.slow
def test_pretraining_lowers_the_loss(run_train: Callable[..., Path], tmp_path: Path, tiny_model: Path) -> None:
    config = json.loads((tiny_model / "open_clip_config.json").read_text(encoding="utf-8"))
    (tmp_path / "model.json").write_text(json.dumps(config), encoding="utf-8")
    trees = [str(ROOT / "trees" / "emoji_unicode.yaml")]
    chosen: dict[str, Any] = {
        "seed_everything": 0,
        "trainer": {
            "max_epochs": 1, "limit_train_batches": 12, "accelerator": "cpu", "devices": 1, "inference_mode": False,
            "num_sanity_val_steps": 0, "enable_progress_bar": False, "enable_model_summary": False, "logger": False,
            "default_root_dir": str(tmp_path), "log_every_n_steps": 1,
        },
        "model": {
            "class_path": "hrvlm.training.pretraining.ContrastivePretraining",
            "init_args": {
                "model_config": str(tmp_path / "model.json"),
                "optimizer": {"learning_rate": 2e-3, "warmup_steps": 2},
            },
        },
        "data": {
            "class_path": "hrvlm.data.emoji_pack.datamodule.EmojiDataModule",
            "init_args": {"batch_size": 32, "caption_trees": trees, "plain_share": 1.0},
        },
    }  # fmt: skip
    run_train(tmp_path, short(chosen, tmp_path))
    found = losses(tmp_path)
    assert len(found) == 12
    assert sum(found[-3:]) < sum(found[:3])


@pytest.mark.parametrize("objective", [OBJECTIVE, CLEAN], ids=["in the attack", "in the loss"])
def test_numbers_that_are_none_stop_the_run_and_leave_the_batch(
    objective: dict[str, Any],
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = short(make_settings(tmp_path), tmp_path, max_epochs=1)
    chosen["model"]["init_args"] |= {"optimizer": {"learning_rate": 1e30, "warmup_steps": 0}, "objective": objective}
    with pytest.raises(SystemExit) as ended:
        run_train(tmp_path, chosen)
    assert ended.value.code == 1
    (saved,) = tmp_path.rglob("non_finite_batch_rank0.safetensors")
    message = capsys.readouterr().err
    assert "train.py: error: training stopped at step" in message
    assert str(saved) in message
    assert "expected a finite" in message
    batch = load_file(saved)
    assert batch["image"].shape == (8, 3, 32, 32)
    labels = [FolderDataset(pictures, image_size=32).items[index][1] for index in batch["index"].tolist()]
    assert batch["label"].tolist() == labels
    assert not (tmp_path / "kept" / "end.ckpt").exists()
