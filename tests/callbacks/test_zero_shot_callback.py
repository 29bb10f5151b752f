"""Zero-shot evaluation around training: rows and averages against direct computation, refusals at the start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from short_settings import held, made
from sweeps import sweep

from hrvlm.callbacks.zero_shot import ZeroShotCallback, summarise
from hrvlm.cli.train import main
from hrvlm.data import zero_shot
from hrvlm.data.items import images_and_labels
from hrvlm.evaluation.zero_shot.predictions import clean_and_attacked
from hrvlm.models import load
from hrvlm.models.zero_shot import ZeroShotClassifier

ROOT = Path(__file__).parents[2]
LAND = ["AnnualCrop", "Forest", "Highway", "SeaLake"]
STEPS = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EuroSAT with four classes and DTD with two, in their published layouts."""
    root = tmp_path_factory.mktemp("sets")
    random = np.random.default_rng(0)

    def save(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)

    for name in LAND:
        for number in range(5):
            save(root / "eurosat" / "2750" / name / f"{name}_{number}.jpg")
    textures = [f"{name}/{name}_{number:04d}.jpg" for name in ("banded", "dotted") for number in range(3)]
    for file in textures:
        save(root / "dtd" / "dtd" / "images" / file)
    (root / "dtd" / "dtd" / "labels").mkdir()
    (root / "dtd" / "dtd" / "labels" / "test1.txt").write_text("\n".join(textures) + "\n")
    return root


def with_callback(chosen: dict[str, Any], root: Path, **arguments: Any) -> dict[str, Any]:
    """Settings with this callback and checkpoints only; no validation."""
    arguments = {
        "root": str(root), "sets": ["eurosat", "dtd"], "num_images": 7, "image_size": 32, "steps": STEPS, "eps": 0.3,
        "batch_size": 4,
    } | arguments  # fmt: skip
    checkpoints = [entry for entry in chosen["trainer"]["callbacks"] if "ModelCheckpoint" in entry["class_path"]]
    mine = {"class_path": "hrvlm.callbacks.zero_shot.ZeroShotCallback", "init_args": held(ZeroShotCallback, arguments)}
    chosen["trainer"] |= {"callbacks": [mine, *checkpoints], "limit_val_batches": 0, "limit_train_batches": 1}
    return chosen


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], root: Path
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("zero_shot")
    return folder, with_callback(make_settings(folder), root, every_n_epochs=2)


@pytest.fixture(scope="module")
def finished_zero_shot(
    run: tuple[Path, dict[str, Any]], run_train: Callable[..., Path], make_settings: Callable[..., Any], root: Path
) -> dict[str, Path]:
    """Three epochs, evaluated after the second and at the end; and the same three without evaluation."""
    with pytest.MonkeyPatch.context():
        folder, chosen = run
        chosen["trainer"]["max_epochs"] = 3
        plain = make_settings(folder.parent / f"{folder.name}_plain")
        plain["trainer"] |= {"max_epochs": 3, "callbacks": chosen["trainer"]["callbacks"][1:]}
        plain["trainer"] |= {"limit_val_batches": 0, "limit_train_batches": 1}
        return {"with": run_train(folder, chosen), "without": run_train(folder.parent / f"{folder.name}_plain", plain)}


def rows_of(folder: Path, stage: str) -> list[dict[str, Any]]:
    path = folder / "zero_shot" / f"{stage}.rank=0.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_rows_are_those_of_the_checkpoint(finished_zero_shot: dict[str, Path], root: Path) -> None:
    folder = finished_zero_shot["with"]
    for stage, epoch in (("epoch=001", 1), ("after", 2)):
        rows = rows_of(folder, stage)
        loaded = load(folder / "checkpoints" / f"{epoch}.ckpt")
        for name, chosen in (("eurosat", [i * 20 // 7 for i in range(7)]), ("dtd", [0, 1, 2, 3, 4, 5])):
            data = zero_shot.load(name, root, image_size=32)
            classifier = ZeroShotClassifier(loaded.model, loaded.head, data.class_names, data.templates)
            images, labels = images_and_labels(data, chosen)
            with torch.no_grad():
                expected = classifier(images).argmax(dim=1).tolist()
            clean = [row for row in rows if row["data"] == name and row["attack"] == "clean"]
            attacked = [row for row in rows if row["data"] == name and row["attack"] == f"pgd{STEPS}"]
            assert [row["index"] for row in clean] == [row["index"] for row in attacked] == chosen
            assert [row["label"] for row in clean] == [row["label"] for row in attacked] == labels.tolist()
            assert [row["prediction"] for row in clean] == expected
            assert all(a["correct"] or not b["correct"] for a, b in zip(clean, attacked, strict=True))
            assert {row["num_classes"] for row in clean} == {len(data.class_names)}
        assert all(row["correct"] == (row["label"] == row["prediction"]) for row in rows)
        assert {row["stage"] for row in rows} == {stage}
        assert json.loads((folder / "zero_shot" / f"{stage}.json").read_text()) == summarise(rows)
    assert not (folder / "zero_shot" / "epoch=000.json").exists()
    assert "zero_shot/mean/clean" in (folder / "metrics.csv").read_text(encoding="utf-8")


def predictions(
    classifier: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, *, steps: int
) -> dict[str, torch.Tensor]:
    """What a callback with a budget of 0.01 finds, by attack."""
    effort = made(ZeroShotCallback, root="none", sets=["dtd"], eps=0.01, steps=steps).effort
    found = clean_and_attacked(classifier, images, labels, effort.aims, effort.settings)
    return dict(zip(("clean", *effort.attacks), found, strict=True))


def test_attacks_flip_exactly_what_a_linear_classifier_gives_way_on() -> None:
    """Two classes, pixels far from the bounds: the worst case in linf takes eps times the L1 norm off the margin."""
    generator = torch.Generator().manual_seed(0)
    images = 0.4 + 0.2 * torch.rand(200, 3, 4, 4, generator=generator)
    classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))
    weight = torch.randn(2, 48, generator=generator)
    classifier.load_state_dict({"1.weight": weight, "1.bias": -weight.sum(dim=1) / 2})
    difference = classifier(images).detach()[:, 1] - classifier(images).detach()[:, 0]
    labels = (difference > 0).long()
    labels[:20] = 1 - labels[:20]  # wrong already: stays as it is
    found = predictions(classifier, images, labels, steps=STEPS)
    assert found.keys() == {"clean", f"pgd{STEPS}"}
    assert torch.equal(found["clean"], (difference > 0).long())
    gives_way = (difference.abs() < 0.01 * (weight[1] - weight[0]).abs().sum()) & (found["clean"] == labels)
    assert 20 < int(gives_way.sum()) < 160
    assert torch.equal(found[f"pgd{STEPS}"] != found["clean"], gives_way)


def test_training_is_the_same_with_and_without_evaluation(finished_zero_shot: dict[str, Path]) -> None:
    weights = [
        torch.load(finished_zero_shot[kind] / "checkpoints" / "2.ckpt", weights_only=True)["state_dict"]
        for kind in ("with", "without")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_averages_weigh_sets_alike() -> None:
    rows = [{"data": "a", "attack": "clean", "correct": correct} for correct in (True, True, False, True)]
    rows += [{"data": "b", "attack": "clean", "correct": False}]
    assert summarise(rows) == {"a": {"clean": 0.75}, "b": {"clean": 0.0}, "mean": {"clean": 0.375}}
    assert summarise([]) == {}


def test_all_missing_sets_are_named_before_training(
    tmp_path: Path, make_settings: Callable[..., Any], run_train: Callable[..., Path], root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    chosen = with_callback(make_settings(tmp_path), root, sets=["all"])
    with pytest.raises(SystemExit):
        run_train(tmp_path, chosen)
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert said.startswith("train.py: error: expected the zero-shot sets caltech101, caltech256, cifar10")
    assert "cifar100 needs cifar-100-python/train, cifar-100-python/test" in said
    assert "eurosat needs" not in said
    assert "nothing is downloaded" in said
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sets": ["mnist"]}, "expected sets as different names of caltech101"),
        ({"sets": []}, "expected sets as different names"),
        ({"sets": ["dtd", "dtd"]}, "expected sets as different names"),
        ({"num_images": 0}, "expected num_images >= 1, got 0"),
        ({"every_n_epochs": 0}, "expected every_n_epochs >= 1, got 0"),
        ({"steps": 0}, "expected steps >= 1, got 0"),
        ({"batch_size": 0}, "expected batch_size >= 1"),
        ({"eps": 4.0}, "expected eps <= 1"),
    ],
)
def test_wrong_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(ZeroShotCallback, **({"root": "x", "sets": ["dtd"]} | arguments))


@pytest.mark.parametrize("variant", sweep(["shards", "evaluate_zero_shot"], quick=["evaluate_zero_shot"]))
def test_imagenet_variants_compose_as_their_first_lines_say(
    variant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ROOT / "configs" / "imagenet" / f"{variant}.yaml"
    (command,) = (line for line in path.read_text(encoding="utf-8").splitlines() if "python train.py fit" in line)
    arguments = command.split("train.py ")[1].split()
    assert arguments[-1] == f"configs/imagenet/{variant}.yaml"
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--print_config"])
    assert stopped.value.code == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    base = yaml.safe_load((ROOT / "configs" / "imagenet" / "vit_b32_openai.yaml").read_text(encoding="utf-8"))
    assert shown["model"]["init_args"]["model"] == "ViT-B-32"
    callbacks = shown["trainer"]["callbacks"]
    if variant == "shards":
        assert shown["data"]["class_path"] == "hrvlm.data.shards.ShardDataModule"
        assert len(callbacks) == len(base["trainer"]["callbacks"])
    else:
        assert len(callbacks) == len(base["trainer"]["callbacks"]) + 1
        assert callbacks[-1]["init_args"]["data"]["sets"] == list(zero_shot.SETS)
        ZeroShotCallback(**callbacks[-1]["init_args"])


class Failing(torch.nn.Module):
    """Scores of bright and dark pictures; none for picture 1, and for picture 2 once it is changed."""

    def __init__(self, pictures: torch.Tensor) -> None:
        super().__init__()
        self.pictures = pictures

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        which = torch.cdist(images.flatten(1), self.pictures.flatten(1)).argmin(dim=1)
        changed = (images != self.pictures[which]).flatten(1).any(dim=1)
        bright = images.flatten(1).mean(dim=1) - 0.5
        scores = torch.stack([bright, -bright], dim=1)
        return torch.where(((which == 1) | ((which == 2) & changed))[:, None], torch.nan, scores)


def test_pictures_without_finite_scores_are_never_right() -> None:
    pictures = torch.tensor([0.9, 0.8, 0.7, 0.1]).view(4, 1, 1, 1).expand(4, 3, 8, 8).contiguous()
    found = predictions(Failing(pictures), pictures, torch.tensor([0, 0, 0, 0]), steps=2)
    assert found["clean"].tolist() == [0, -1, 0, 1]
    assert found["pgd2"].tolist() == [0, -1, -1, 1]
