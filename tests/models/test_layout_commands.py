"""Every layout of checkpoints goes through every command that takes one, and is seen as its own library sees it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from foreign_layouts import LAYOUTS, Written, foreign_world
from PIL import Image
from sweeps import sweep
from tiny_models import pictures
from torchvision.transforms.functional import pil_to_tensor

from hrvlm.cli.certify import main as certify
from hrvlm.cli.main import main as hrvlm_main
from hrvlm.models import Checkpoint, load
from hrvlm.models.checkpoint import stated

CLASSES = ["boat", "fox", "small cat"]
SIDE, EPS = 32, 4 / 255
PLAN = {"sigma": 0.01, "n0": 4, "n": 16, "alpha": 0.05, "batch_size": 16, "radii": [0.0]}
ATTRIBUTES = [{"name": "red", "target": "a red {}"}]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Written]]:
    with foreign_world(tmp_path_factory.mktemp("foreign")) as written:
        yield written


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs in class folders, two of each."""
    root = tmp_path_factory.mktemp("photographs")
    levels = torch.randint(0, 256, (6, SIDE, SIDE, 3), generator=torch.Generator().manual_seed(0)).byte()
    for place, picture in enumerate(levels):
        path = root / CLASSES[place // 2] / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture.numpy()).save(path)
    return root


def words(checkpoint: Checkpoint) -> list[str]:
    """A checkpoint on the command line."""
    named = {"checkpoint": checkpoint.name} if checkpoint.name is not None else {}
    return [word for key, value in (named | stated(checkpoint)).items() for word in (f"--{key}", str(value))]


@cache
def predicted(written: Written, root: Path) -> list[int]:
    """Labels by the library's own features."""
    paths = sorted(root.rglob("*.png"))
    images = torch.stack([pil_to_tensor(Image.open(path)) for path in paths]) / 255.0
    with torch.no_grad():
        points = F.normalize(written.image_features(load(written.checkpoint).model.preprocess(images)), dim=-1)
        texts = F.normalize(written.text_features([f"a picture of a {name}" for name in CLASSES]), dim=-1)
    return [int(label) for label in (points @ texts.T).argmax(dim=1)]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def attack(written: Written, root: Path, output: Path) -> None:
    source = ["--data", str(root), "--output", str(output)]
    certify(["attack", *words(written.checkpoint), *source, "--attacks", "pgd2", "--eps", str(EPS)])
    made = rows(output / "robustness.jsonl")
    clean = [row["prediction"] for row in made if row["attack"] == "clean"]
    assert clean == predicted(written, root)
    assert len(made) == 2 * len(clean)


def run(written: Written, root: Path, output: Path) -> None:
    source = ["--data", str(root), "--output", str(output), "--plan", json.dumps(PLAN | {"attributes": ATTRIBUTES})]
    certify(["run", *words(written.checkpoint), *source])
    made = rows(output / "certificates.jsonl")
    assert {row["kind"] for row in made} >= {"smoothing", "semantic"}
    seen = {row["index"]: row["prediction"] for row in made if row["kind"] == "semantic"}
    assert [seen[index] for index in range(6)] == predicted(written, root)
    certify(["verify", str(output)])


def zero_shot(written: Written, root: Path, output: Path) -> None:
    source = ["--data", str(root), "--output", str(output), "--templates", "a picture of a {}"]
    certify(["zero-shot", *words(written.checkpoint), *source, "--attacks", "clean", "pgd1", "--eps", str(EPS)])
    made = rows(output / "zero_shot.jsonl")
    assert [row["prediction"] for row in made if row["attack"] == "clean"] == predicted(written, root)


def export(written: Written, root: Path, output: Path) -> None:
    hrvlm_main(["export", *words(written.checkpoint), "--output", str(output)])
    again, images = load(output).model, pictures()
    with torch.no_grad():
        expected = written.image_features(again.preprocess(images))
        torch.testing.assert_close(again.encode_image(images), expected, rtol=1e-5, atol=1e-5)


COMMANDS: dict[str, Callable[[Written, Path, Path], None]] = {
    "zero-shot": zero_shot, "attack": attack, "run": run, "export": export,
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "layout", sweep(LAYOUTS, quick=("an exported folder", "OpenAI's archive", "transformers' SigLIP"))
)
def test_every_layout_goes_through_every_command(
    world: dict[str, Written], folder: Path, layout: str, command: str, tmp_path: Path
) -> None:
    COMMANDS[command](world[layout], folder, tmp_path / "results")


def test_results_note_what_a_checkpoint_was_made_of(world: dict[str, Written], folder: Path, tmp_path: Path) -> None:
    checkpoint = world["a full dictionary"].checkpoint
    source = ["--data", str(folder), "--output", str(tmp_path / "results"), "--attacks", "clean"]
    certify(["attack", *words(checkpoint), "--preprocessing", "imagenet", *source])
    noted = json.loads((tmp_path / "results" / "settings.json").read_text())
    assert noted["given_checkpoint"] == "tiny_vit with weights.pt"
    assert noted["given_weights"] == checkpoint.weights
    assert noted["given_preprocessing"] == "imagenet"
    assert "given_activation" not in noted


def test_a_command_without_a_model_says_what_names_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        certify(["attack", "--data", str(folder), "--output", "results"])
    assert stopped.value.code == 1
    assert "expected --checkpoint, or --architecture and --weights, to name a model" in capsys.readouterr().err
