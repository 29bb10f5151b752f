"""The noise a model was trained under: checkpoints, exports and results say it, and nothing where there was none."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from hrvlm.cli.certify import main
from hrvlm.models import export_model, load
from hrvlm.models.checkpoints import DESCRIPTION, describe
from hrvlm.models.descriptions import noted_noise, told_noise
from hrvlm.objectives import CleanObjective
from hrvlm.training.fine_tuning import RobustFineTuning
from hrvlm.training.settings import TrainingNoise

NOISE = {"sigma": 0.25, "mode": "uniform", "share": 0.5}


def module_of(model: Path, tree: Path, noise: TrainingNoise | None) -> RobustFineTuning:
    return RobustFineTuning(objective=CleanObjective(), trees=[str(tree)], model=str(model), noise=noise)


@pytest.fixture(scope="module")
def exported(tiny_model: Path, tree_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model that says it was trained under noise."""
    module = module_of(tiny_model, tree_file, TrainingNoise(**NOISE, copies=2))
    return export_model(module.model, tmp_path_factory.mktemp("noise") / "noisy")


def test_checkpoints_and_exports_carry_the_noise_and_loading_says_it(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = load(exported)
    assert loaded.model.config["training_noise"] == NOISE
    said = "trained under Gaussian noise of sigma up to 0.25, on 50 % of the pictures"
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [f"noisy: {said}"]
    assert said.removeprefix("trained under ") in (exported / "README.md").read_text(encoding="utf-8")
    open_clip.create_model(f"local-dir:{exported}")
    state = {f"model.{name}": value for name, value in loaded.model.state_dict().items()}
    state |= {f"objective.head.{name}": value for name, value in loaded.head.state_dict().items()}
    path = tmp_path / "trained.ckpt"
    torch.save({DESCRIPTION: describe(loaded.model, loaded.head, ["a"]), "state_dict": state}, path)
    caplog.clear()
    assert load(path).model.config["training_noise"] == NOISE
    assert said in caplog.text


def test_a_run_says_its_own_noise_and_not_that_of_the_weights_it_starts_from(
    exported: Path, tiny_model: Path, tree_file: Path
) -> None:
    assert "training_noise" not in module_of(exported, tree_file, None).model.config
    config = module_of(exported, tree_file, TrainingNoise(sigma=0.5)).model.config
    assert noted_noise(config) == {"training_noise": {"sigma": 0.5, "mode": "fixed", "share": 1.0}}
    assert told_noise(config) == "Gaussian noise of sigma 0.5"
    plain = load(tiny_model).model.config
    assert module_of(tiny_model, tree_file, None).model.config == plain
    assert (noted_noise(plain), told_noise(plain)) == ({}, None)


@pytest.mark.parametrize(
    "noise",
    [{**NOISE, "sigma": 64}, {**NOISE, "mode": "none"}, {**NOISE, "share": 2}, {**NOISE, "more": 1}, "0.25", None],
)
def test_descriptions_that_say_what_no_training_does_are_refused(noise: Any, exported: Path, tmp_path: Path) -> None:
    config = json.loads((exported / "open_clip_config.json").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="expected training_noise"):
        noted_noise(config | {"training_noise": noise})


def test_results_note_the_noise_and_another_sigma_is_told(
    exported: Path, pictures: Path, tree_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--checkpoint", str(exported), "--data", str(pictures), "--trees", f"[{tree_file}]", "--output"]
    small = ["--plan.num_images", "2", "--plan.n0", "8", "--plan.n", "40", "--plan.alpha", "0.05"]
    for sigma, told in (("0.5", True), ("0.1", False)):
        folder = tmp_path / sigma
        main(["run", *given, str(folder), *small, "--plan.sigma", sigma])
        assert json.loads((folder / "settings.json").read_text(encoding="utf-8"))["training_noise"] == NOISE
        sentence = f"certified at sigma {sigma} a model trained under Gaussian noise of sigma up to 0.25"
        captured = capsys.readouterr()
        assert (sentence in " ".join((captured.out + captured.err).split())) == told
    main(["verify", str(tmp_path / "0.5")])
    attacked = tmp_path / "attacked"
    main(["attack", *given, str(attacked), "--plan.num_images", "2", "--attacks", "clean"])
    zero_shot = tmp_path / "zero_shot"
    main(["zero-shot", *given[:4], "--output", str(zero_shot), "--num_images", "2", "--attacks", "clean"])
    for folder in (attacked, zero_shot):
        assert json.loads((folder / "settings.json").read_text(encoding="utf-8"))["training_noise"] == NOISE
