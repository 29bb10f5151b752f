"""The moving average of weights against its definition, and where a run uses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hrvlm.data.folder import FolderDataset
from hrvlm.data.items import images_and_labels
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.training.averaging import AveragedWeights, taken_apart
from hrvlm.trees import load_forest


def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    made[2].requires_grad_(False)
    return made


def moved(made: nn.Module, by: float) -> None:
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter += by * torch.randn_like(parameter)
        made(torch.randn(5, 3))


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_is_the_weighted_sum_of_all_weights_so_far(decay: float) -> None:
    made = network()
    average = AveragedWeights({"net": made}, decay)
    expected = {key: value.double() for key, value in made.state_dict().items()}
    for step in range(1, 30):
        moved(made, 0.1)
        average.update()
        keep = min(decay, (1 + step) / (10 + step))
        for key, value in made.state_dict().items():
            expected[key] = keep * expected[key] + (1 - keep) * value.double()
    found = average.copies["net"].state_dict()
    for key in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(found[key].double(), expected[key], rtol=1e-5, atol=1e-6)
        assert not torch.equal(found[key], made.state_dict()[key])
    assert found["1.num_batches_tracked"] == 29
    assert average.copies["net"][2].weight is made[2].weight  # frozen, shared
    assert not any(parameter.requires_grad for parameter in average.copies["net"].parameters())
    assert made[0].weight.requires_grad


def test_a_checkpoint_gives_back_both_weights() -> None:
    made = network()
    average = AveragedWeights({"net": made}, 0.9)
    moved(made, 1.0)
    average.update()
    raw = {f"net.{key}": value.clone() for key, value in made.state_dict().items()}
    averaged = {f"net.{key}": value.clone() for key, value in average.copies["net"].state_dict().items()}
    checkpoint: dict[str, Any] = {"state_dict": {**raw, "other": torch.ones(1)}}
    average.store(checkpoint, "average")
    assert all(torch.equal(checkpoint["state_dict"][key], value) for key, value in averaged.items())
    stored = taken_apart(checkpoint, "average")
    assert stored is not None
    assert all(torch.equal(checkpoint["state_dict"][key], value) for key, value in raw.items())
    other = AveragedWeights({"net": network()}, 0.9)
    other.restore(**stored)
    assert other.updates == 1
    assert all(torch.equal(value, averaged[f"net.{key}"]) for key, value in other.copies["net"].state_dict().items())
    assert taken_apart({"state_dict": {}}, "average") is None


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0])
def test_decays_out_of_range_are_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="expected average_decay in"):
        AveragedWeights({}, decay)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the compiler itself looks at it
def test_a_run_evaluates_stores_and_exports_the_average(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path, tree_file: Path, pictures: Path
) -> None:
    chosen = make_settings(tmp_path)
    robustness, _, checkpoints, _ = chosen["trainer"]["callbacks"]
    robustness["init_args"]["before"] = False
    exported = {"class_path": "hrvlm.callbacks.ExportModel", "init_args": {"folder": str(tmp_path / "exported")}}
    chosen["trainer"] |= {"callbacks": [robustness, exported, checkpoints], "max_epochs": 1, "precision": "bf16-mixed"}
    chosen["model"]["init_args"] |= {"trained": {"average_decay": 0.9}, "tower": {"compile_backend": "eager"}}
    chosen["model"]["init_args"]["optimizer"]["learning_rate"] = 3e-3
    folder = run_train(tmp_path, chosen)
    path = folder / "checkpoints" / "0.ckpt"
    kept = torch.load(path, weights_only=True)
    changed = [
        k for k, value in kept["hrvlm_average"]["weights"].items() if not torch.equal(value, kept["state_dict"][k])
    ]
    assert any(".visual." in key for key in changed)
    assert any("objective.head." in key for key in changed)
    assert kept["hrvlm_average"]["updates"] == 4
    loaded, again = load(path), load(tmp_path / "exported")
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, kept["state_dict"][f"model.{key}"])
        assert torch.equal(value, again.model.state_dict()[key])
    text = (folder / "robustness" / "after.rank=0.jsonl").read_text(encoding="utf-8")
    rows = [row for row in map(json.loads, text.splitlines()) if row["attack"] == "clean" and row["level"] == 0]
    images, _ = images_and_labels(FolderDataset(pictures, image_size=32), [row["index"] for row in rows])
    forest = load_forest([str(tree_file)], leaves=list(loaded.classes or ()))
    with torch.no_grad():
        expected = HierarchicalClassifier(loaded.model, loaded.head, forest)(images).argmax(1)
    assert [row["prediction"] for row in rows] == expected.tolist()
