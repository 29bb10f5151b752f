"""Every shipped configuration builds, and ImageNet's takes a real training step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hrvlm.callbacks import GeometryCallback
from hrvlm.cli.command import CERTIFY
from hrvlm.cli.train import main

ROOT = Path(__file__).parents[2]
FILES = {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "configs").rglob("*.yaml")}
# Files that do not name classes of both model and data are variants, which compose with another file.
TRAINING = sorted(
    path
    for path, given in FILES.items()
    if path.parent.name != "certify" and all("class_path" in given.get(part, {}) for part in ("model", "data"))
)
TARGETED = ROOT / "configs" / "certify" / "targeted_attack_emoji.yaml"
ATTACKING = sorted((ROOT / "configs" / "certify").glob("attack_*.yaml"))
# Of pictures that a user must bring; they run in test_init.py.
BROUGHT = {path for path, given in FILES.items() if path.parent.name == "certify" and isinstance(given["data"], str)}
CERTIFYING = sorted(set((ROOT / "configs" / "certify").glob("*.yaml")) - {*ATTACKING, TARGETED, *BROUGHT})


def options_of(command: str, config: Path) -> Any:
    """What a command of `certify.py` is told by a configuration, with its objects made."""
    parser = CERTIFY[command].load().parser()
    given = parser.parse_args(["--checkpoint", "emoji", "--output", "none", "--config", str(config)])
    return parser.instantiate_classes(given)


@pytest.mark.parametrize("config", TRAINING, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_training_configurations_are_complete(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(config), "--print_config"])
    assert stopped.value.code == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["trainer"]["inference_mode"] is False
    assert shown["model"]["class_path"].startswith("hrvlm.training.")
    assert set(yaml.safe_load(config.read_text(encoding="utf-8"))) <= set(shown)


@pytest.mark.parametrize("name", ["emoji/quickstart", "imagenet/vit_b32_openai"])
def test_norms_and_margins_are_looked_at_under_the_budget_of_training(name: str) -> None:
    given = FILES[ROOT / "configs" / f"{name}.yaml"]
    callbacks = {entry["class_path"]: entry.get("init_args", {}) for entry in given["trainer"]["callbacks"]}
    looking = GeometryCallback(**callbacks["hrvlm.callbacks.GeometryCallback"])
    assert looking.threat_model.eps == given["model"]["init_args"]["objective"]["init_args"]["threat_model"]["eps"]
    assert given["trainer"]["max_epochs"] % looking.every_n_epochs == 0  # the weights that are kept are looked at


@pytest.mark.parametrize("config", CERTIFYING, ids=lambda path: path.stem)
def test_certification_configurations_build(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = options_of("run", config)
    assert len(chosen.data.evaluation_set(chosen.split)) >= chosen.plan.num_images
    assert chosen.plan.smoothing_plan().sigma == chosen.plan.sigma


def test_the_configuration_of_targeted_attacks_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = options_of("targeted-attack", TARGETED)
    assert len(chosen.data.evaluation_set(chosen.split)) >= chosen.num_images


@pytest.mark.parametrize("name", ["push_emoji", "configs/certify/push_emoji.yaml"])
def test_old_names_of_configurations_work_and_are_told_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert options_of("targeted-attack", Path(name)).forbidden == "go to"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{name} is now {name.replace('push', 'targeted_attack')}")


@pytest.mark.parametrize("config", ATTACKING, ids=lambda path: path.stem)
def test_attack_configurations_build(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = options_of("attack", config)
    assert len(chosen.data.evaluation_set(chosen.split)) >= chosen.plan.num_images
    assert chosen.plan.threat_model.eps == FILES[config]["plan"]["threat_model"]["eps"]


@pytest.mark.slow
def test_imagenet_configuration_takes_a_training_step(
    tmp_path: Path, make_pictures: Callable[..., Path], tree_file: Path, run_train: Callable[..., Path]
) -> None:
    chosen: dict[str, Any] = yaml.safe_load((ROOT / "configs/imagenet/vit_b32_openai.yaml").read_text(encoding="utf-8"))
    pictures = str(make_pictures(size=224, seed=1))
    chosen["model"]["init_args"] |= {"pretrained": None, "trees": [str(tree_file)]}
    folders = {"train_folder": pictures, "evaluation_folders": {"validation": pictures}}
    chosen["data"]["init_args"] |= folders | {"batch_size": 4, "num_workers": 0}
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger"}
    logger |= {"init_args": {"save_dir": str(tmp_path), "name": "run"}}
    chosen["trainer"] |= {
        "accelerator": "cpu", "devices": 1, "precision": "32-true", "max_epochs": 1, "limit_train_batches": 1,
        "limit_val_batches": 1, "log_every_n_steps": 1, "callbacks": [], "enable_checkpointing": False,
        "enable_progress_bar": False, "default_root_dir": str(tmp_path), "logger": [logger],
    }  # fmt: skip
    folder = run_train(tmp_path, chosen)
    rows = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    header, values = rows[0].split(","), rows[1].split(",")
    logged = dict(zip(header, values, strict=True))
    assert float(logged["train/loss"]) > 0
    assert 0 <= float(logged["train/adversarial_accuracy"]) <= 1
