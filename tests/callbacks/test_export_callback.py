"""The export at the end of training: the objective's head goes with the model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule

import hrvlm
from hrvlm.callbacks import ExportModel
from hrvlm.models import PoincareHead, load
from hrvlm.objectives import HierarchicalObjective
from hrvlm.objectives.settings import HeadSettings
from hrvlm.training.fine_tuning import RobustFineTuning


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = hrvlm.load_model("emoji")


def trainer(first: bool = True) -> Any:
    return SimpleNamespace(is_global_zero=first, fast_dev_run=False)


def test_model_head_and_classes_are_exported(tmp_path: Path) -> None:
    objective = HierarchicalObjective(
        head=HeadSettings(image_scale=0.05, text_scales=[0.06, 0.04, 0.03], temperature=0.3)
    )
    forest = hrvlm.load_forest(["trees/emoji_unicode.yaml"])
    objective.bind(forest.restrict(forest.leaves[::14]))
    module = RobustFineTuning(objective=objective, trees=["trees/emoji_unicode.yaml"])
    ExportModel(str(tmp_path / "model")).on_fit_end(trainer(), module)
    loaded = load(tmp_path / "model")
    assert isinstance(loaded.head, PoincareHead)
    torch.testing.assert_close(loaded.head.temperature, torch.tensor(0.3))
    assert loaded.classes == forest.leaves[::14]


def test_a_module_without_objective_exports_its_model_on_the_first_process_only(tmp_path: Path) -> None:
    ExportModel(str(tmp_path / "other")).on_fit_end(trainer(first=False), Module())
    assert not (tmp_path / "other").exists()
    ExportModel(str(tmp_path / "model"), half=True).on_fit_end(trainer(), Module())
    assert load(tmp_path / "model").classes is None


def test_a_module_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a module with a VisionLanguageModel to export, got LightningModule"):
        ExportModel(str(tmp_path)).on_fit_end(trainer(), LightningModule())
