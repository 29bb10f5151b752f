"""Tests of `train.py fit`: what a run leaves behind, and resuming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from sweeps import sweep

from hrvlm.models import PoincareHead, load


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_leaves_its_whole_configuration_behind(finished: Any) -> None:
    saved = yaml.safe_load((finished.folder / "config.yaml").read_text(encoding="utf-8"))
    given = finished.settings["model"]["init_args"]
    # weight_decay is a default, resolved
    assert saved["model"]["init_args"]["optimizer"] == given["optimizer"] | {"weight_decay": 1e-4}
    assert saved["seed_everything"] == 0
    assert (finished.folder / "metrics.csv").is_file()


def test_a_checkpoint_loads_without_the_run_and_holds_its_weights(finished: Any) -> None:
    loaded = load(finished.checkpoint(1))
    state = weights(finished.checkpoint(1))
    assert isinstance(loaded.head, PoincareHead)
    assert loaded.classes == tuple(sorted(loaded.classes or ()))
    assert len(loaded.classes) == 8
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, state[f"model.{key}"])
    for key, value in loaded.head.state_dict().items():
        assert torch.equal(value, state[f"objective.head.{key}"])
    assert not loaded.model.training


def test_training_moves_the_image_tower_the_projection_and_the_head_only(finished: Any, tiny_model: Path) -> None:
    start = {f"model.{key}": value for key, value in load(tiny_model).model.state_dict().items()}
    moved = {
        key
        for key, value in weights(finished.checkpoint(1)).items()
        if key in start and not torch.equal(value, start[key])
    }
    assert "model.clip.text_projection" in moved
    assert any(key.startswith("model.clip.visual.") for key in moved)
    assert all(key.startswith("model.clip.visual.") or key == "model.clip.text_projection" for key in moved)
    assert not any("running_" in key for key in moved)  # batch norm is frozen


@pytest.mark.parametrize("weights_only", sweep([None, True], quick=[True]))
def test_resuming_gives_the_weights_of_the_run_that_was_not_stopped(
    weights_only: bool | None,
    finished: Any,
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
) -> None:
    more = [] if weights_only is None else ["--weights_only", "true"]
    folder = run_train(tmp_path, make_settings(tmp_path), "--ckpt_path", str(finished.checkpoint(0)), *more)
    assert same(weights(folder / "checkpoints" / "1.ckpt"), weights(finished.checkpoint(1)))
    assert not (folder / "robustness" / "before.rank=0.jsonl").exists()
    assert (folder / "robustness" / "after.rank=0.jsonl").exists()


def test_training_is_bit_identical_without_callbacks(
    finished: Any, make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = make_settings(tmp_path)
    chosen["trainer"]["callbacks"] = [
        entry for entry in chosen["trainer"]["callbacks"] if "hrvlm" not in entry["class_path"]
    ]
    folder = run_train(tmp_path, chosen)
    assert same(weights(folder / "checkpoints" / "1.ckpt"), weights(finished.checkpoint(1)))


def test_trained_without_the_text_projection_it_stays(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path, tiny_model: Path
) -> None:
    chosen = make_settings(tmp_path)
    chosen["trainer"]["callbacks"] = chosen["trainer"]["callbacks"][2:3]
    chosen["trainer"]["max_epochs"] = 1
    chosen["model"]["init_args"]["objective"] = {
        "class_path": "hrvlm.objectives.TeCoAObjective",
        "init_args": {"ascent": {"steps": 1}},
    }
    state = weights(run_train(tmp_path, chosen) / "checkpoints" / "0.ckpt")
    start = load(tiny_model).model.state_dict()
    assert torch.equal(state["model.clip.text_projection"], start["clip.text_projection"])
    assert any(not torch.equal(state[f"model.{key}"], value) for key, value in start.items() if ".visual." in key)
