"""What is trained can be chosen: image tower, text projection, head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hrvlm.models import load


def one_step(settings: dict[str, Any], **module: Any) -> dict[str, Any]:
    settings["model"]["init_args"] |= module
    settings["trainer"] |= {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
    settings["trainer"]["callbacks"] = settings["trainer"]["callbacks"][2:3]
    return settings


@pytest.mark.parametrize(
    ("switches", "trained"),
    [
        ({"image_tower": False, "freeze_batch_norm": False}, {"model.clip.text_projection", "objective.head"}),
        ({"text_projection": False}, {"model.clip.visual", "objective.head"}),
        ({"image_tower": False, "text_projection": False}, {"objective.head"}),
    ],
    ids=["text", "image", "head"],
)
def test_only_what_is_switched_on_moves(
    switches: dict[str, bool],
    trained: set[str],
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
    tiny_model: Path,
) -> None:
    """Batch-norm statistics included."""
    arguments = {"head": {"image_scale": 0.1, "text_scales": [0.1, 0.1]}}
    arguments |= {"threat_model": {"eps": 0.01}, "ascent": {"steps": 1}}
    objective = {"class_path": "hrvlm.objectives.HierarchicalObjective", "init_args": arguments}
    folder = run_train(tmp_path, one_step(make_settings(tmp_path), objective=objective, trained=switches))
    state = torch.load(folder / "checkpoints" / "0.ckpt", weights_only=True)["state_dict"]
    start = {f"model.{name}": value for name, value in load(tiny_model).model.state_dict().items()}
    start |= {"objective.head.log_image_scale": torch.tensor(0.1).log()}
    moved = {name for name, value in start.items() if not torch.equal(state[name], value)}
    assert {part for part in trained if any(name.startswith(part) for name in moved)} == trained
    assert all(any(name.startswith(part) for part in trained) for name in moved)


def test_nothing_to_train_is_refused(
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    objective = {"class_path": "hrvlm.objectives.TeCoAObjective", "init_args": {"ascent": {"steps": 1}}}
    with pytest.raises(SystemExit):
        run_train(tmp_path, one_step(make_settings(tmp_path), objective=objective, trained={"image_tower": False}))
    assert "expected something to train, got all of it switched off" in capsys.readouterr().err
