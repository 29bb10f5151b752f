"""Every shipped configuration builds, and ImageNet's takes a real training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import yaml

from hrvlm.callbacks import GeometryCallback, RobustValidationCallback
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.certificates.statistics.binomial import radius_ceiling
from hrvlm.cli.command import loaded
from hrvlm.cli.command_table import CERTIFY
from hrvlm.cli.train import main
from hrvlm.data.cifar_files import LAYOUTS
from hrvlm.data.sources.contents import contents_of

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
CALIBRATING = sorted((ROOT / "configs" / "certify").glob("calibrate_*.yaml"))
# Of pictures that a user must bring; they run in test_init.py.
BROUGHT = {
    path
    for path, given in FILES.items()
    if path.parent.name == "certify" and isinstance(given["data"], str) and given["data"] != "emoji"
}
CERTIFYING = sorted(set((ROOT / "configs" / "certify").glob("*.yaml")) - {*ATTACKING, *CALIBRATING, TARGETED, *BROUGHT})


def options_of(command: str, config: Path) -> Any:
    """What a command of `certify.py` is told by a configuration, with its objects made."""
    parser = loaded(CERTIFY[command]).parser()
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
    assert looking.given is None  # so that it takes what the objective trains against
    assert given["model"]["init_args"]["objective"]["init_args"]["threat_model"]["eps"] > 0
    assert given["trainer"]["max_epochs"] % looking.every_n_epochs == 0  # the weights that are kept are looked at


def plans() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every plan of certificates that a configuration states: of `certify.py run`, and of callbacks."""
    for path, given in FILES.items():
        name = f"{path.parent.name}/{path.stem}"
        if path.parent.name == "certify" and path not in (*ATTACKING, *CALIBRATING, TARGETED):
            yield name, given.get("plan", {})
        for callback in given.get("trainer", {}).get("callbacks", []):
            if callback["class_path"] == "hrvlm.callbacks.CertificationCallback":
                plan = callback["init_args"]["plan"]
                yield name, plan.get("init_args", plan)


@pytest.mark.parametrize(("name", "plan"), [pytest.param(*each, id=each[0]) for each in plans()])
def test_radii_that_are_told_of_can_be_reached(name: str, plan: dict[str, Any]) -> None:
    usual = {f.name: f.default for f in fields(CertificationPlan)}
    n, sigma, alpha = (plan.get(key, usual[key]) for key in ("n", "sigma", "alpha"))
    radii = plan.get("radii", CertificationPlan().radii)
    for statements in (1, 6):  # the six levels of two trees, each at its share of alpha
        assert max(radii) <= float(radius_ceiling(n, alpha / statements, sigma)), statements


@pytest.mark.parametrize("config", CERTIFYING, ids=lambda path: path.stem)
def test_certification_configurations_build(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = options_of("run", config)
    assert len(contents_of(chosen.data, chosen.split).labels) >= chosen.plan.num_images
    assert chosen.plan.smoothing_plan().sigma == chosen.plan.sigma


def test_the_configuration_of_targeted_attacks_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = options_of("targeted-attack", TARGETED)
    assert len(contents_of(chosen.data, chosen.split).labels) >= chosen.num_images


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
    assert len(contents_of(chosen.data, chosen.split).labels) >= chosen.plan.num_images
    assert chosen.plan.threat_model.eps == FILES[config]["plan"]["threat_model"]["eps"]


@pytest.mark.parametrize("config", CALIBRATING, ids=lambda path: path.stem)
def test_calibration_configurations_build(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    chosen = options_of("calibrate", config)
    assert len(contents_of(chosen.data, chosen.split).labels) >= (chosen.plan.num_images or 1)
    assert {change.name for change in chosen.plan.changes()} == set(chosen.plan.sequences)
    assert (chosen.answers is not None) == ("answers" in FILES[config])


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


def callbacks_of(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Classes and arguments of the callbacks that a file names."""
    trainer = FILES[ROOT / "configs" / f"{name}.yaml"]["trainer"]
    entries = trainer.get("callbacks", trainer.get("callbacks+"))
    return [(entry["class_path"].rpartition(".")[2], entry.get("init_args", {})) for entry in entries]


@pytest.mark.parametrize("name", ["imagenet/vit_b32_openai", "emoji/best_robust"])
def test_what_checkpoints_are_chosen_by_is_logged(name: str) -> None:
    base = FILES[ROOT / "configs" / f"{name.replace('best_robust', 'quickstart')}.yaml"]["model"]["init_args"]
    (robust,) = [given for kind, given in callbacks_of(name) if kind == "RobustValidationCallback"]
    looking = RobustValidationCallback(**robust)
    monitored = {given["monitor"] for kind, given in callbacks_of(name) if "monitor" in given}
    assert monitored == {f"robust/{looking.plan.attacks[0]}/{Path(base['trees'][0]).stem}/0"}
    assert all(given["mode"] == "max" for kind, given in callbacks_of(name) if "monitor" in given)
    assert looking.given is None  # so that it takes what the objective trains against


@pytest.mark.parametrize(
    ("name", "base"),
    [("imagenet/vit_l14_openai", "imagenet/vit_b32_openai"), ("imagenet/convnext_base_w", "imagenet/vit_b32_openai"),
     ("imagenet/siglip_vit_b16", "imagenet/vit_b32_openai"), ("emoji/best_robust", "emoji/quickstart")],
)  # fmt: skip
def test_variants_compose_and_name_models_that_there_are(
    name: str, base: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["train.py"])
    given = [word for part in (base, name) for word in ("--config", f"configs/{part}.yaml")]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *given, "--print_config"])
    assert stopped.value.code == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    kinds = [entry["class_path"].rpartition(".")[2] for entry in shown["trainer"]["callbacks"]]
    assert {"RobustValidationCallback", "CertificationCallback"} <= set(kinds)
    model = shown["model"]["init_args"]
    if name.startswith("imagenet/"):
        assert (model["model"], model["pretrained"]) in open_clip.list_pretrained()
        config = open_clip.get_model_config(model["model"])
        assert shown["data"]["init_args"]["image_size"] == config["vision_cfg"]["image_size"]


@pytest.mark.slow
def test_imagenet_configuration_chooses_certifies_and_keeps_checkpoints(
    tmp_path: Path, make_settings: Callable[..., Any], run_train: Callable[..., Path]
) -> None:
    """Its trainer and callbacks, with fewer images and copies, on the tiny model."""
    chosen = make_settings(tmp_path)
    shipped = yaml.safe_load((ROOT / "configs/imagenet/vit_b32_openai.yaml").read_text(encoding="utf-8"))["trainer"]
    for entry in shipped["callbacks"]:
        given = entry.setdefault("init_args", {})
        given |= {"num_images": 6} if "num_images" in given else {}
        given |= {"every_n_train_steps": 3} if "every_n_train_steps" in given else {}
        given |= {"monitor": "robust/pgd10/kinds/0"} if "monitor" in given else {}
        if "plan" in given:
            given["plan"]["init_args"] |= {"num_images": 3, "n0": 8, "n": 20, "alpha": 0.05, "sigma": 0.02}
    kept = {name: shipped[name] for name in ("check_val_every_n_epoch", "limit_val_batches", "num_sanity_val_steps")}
    callbacks = [entry for entry in shipped["callbacks"] if "ProgressBar" not in entry["class_path"]]
    chosen["trainer"] |= kept | {"callbacks": callbacks, "val_check_interval": 3, "max_epochs": 2}
    folder = run_train(tmp_path, chosen)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "epoch=1-step=8.ckpt",
    }
    assert sorted(path.name[5:12] for path in (folder / "robust").iterdir()) == ["0000003", "0000006"]
    for epoch in range(2):
        rows = (folder / f"certificates/epoch={epoch:03d}/rank=0.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 3 * 2 * (1 + 3 * 2)  # per level a radius, and three changes under two scorers
    steps = {name: torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last")}
    assert (steps["best"]["global_step"] in (3, 6), steps["last"]["global_step"]) == (True, 8)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_configurations_name_a_tree_over_the_classes_of_their_files(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["train.py"])
    files = ["configs/cifar/cifar10.yaml", *(["configs/cifar/cifar100.yaml"] if name == "cifar100" else [])]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *(word for file in files for word in ("--config", file)), "--print_config"])
    assert stopped.value.code == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["model"]["init_args"]["trees"] == [f"trees/{name}.yaml"]
    assert (
        Path(shown["data"]["init_args"]["folder"]).name == {"cifar10": LAYOUTS[0], "cifar100": LAYOUTS[1]}[name].folder
    )
    assert shown["data"]["init_args"]["batch_size"] == 256
