"""`hrvlm export`: what plain open_clip makes of the folder, without hrvlm, and what hrvlm makes of its head."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import hrvlm
from hrvlm.cli.main import main
from hrvlm.models import HierarchicalClassifier, LoadedModel, PoincareHead, load
from hrvlm.models.checkpoints import DESCRIPTION, describe
from hrvlm.trees import Forest

PLAIN = """
import json, sys
import open_clip, torch
from PIL import Image
from safetensors.torch import load_file

for folder in sys.argv[2:]:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    probe = load_file(f"{folder}/probe/probe.safetensors")
    texts = json.load(open(f"{folder}/probe/texts.json"))
    assert torch.equal(tokenizer(texts), probe["tokens"])
    pictures = [Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()) for image in probe["images"]]
    with torch.no_grad():
        logits, _ = model.get_logits(torch.stack([preprocess(picture) for picture in pictures]), tokenizer(texts))
    torch.testing.assert_close(logits, probe["logits"], rtol=0, atol=float(sys.argv[1]))
    assert logits.std() > 0.1
    print("equal")
assert not [name for name in sys.modules if name.split(".")[0] == "hrvlm"]
"""


@pytest.fixture(scope="module")
def forest() -> Forest:
    whole = hrvlm.load_forest(["trees/emoji_unicode.yaml", "trees/emoji_wordnet.yaml"])
    return whole.restrict(whole.leaves[::20])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, forest: Forest) -> Path:
    """A run's folder with a checkpoint and its configuration, as training leaves them."""
    folder = tmp_path_factory.mktemp("run")
    model, head = hrvlm.load_model("emoji"), PoincareHead(0.7, 0.05, (0.06, 0.05, 0.04, 0.03), temperature=0.2)
    with torch.no_grad():
        model.clip.visual.conv1.weight.mul_(1.05)  # no longer the packaged one
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state |= {f"objective.head.{name}": value for name, value in head.state_dict().items()}
    (folder / "checkpoints").mkdir()
    checkpoint = {"state_dict": state, DESCRIPTION: describe(model, head, list(forest.leaves))}
    torch.save(checkpoint, folder / "checkpoints" / "last.ckpt")
    objective = {
        "class_path": "hrvlm.objectives.HierarchicalObjective",
        "init_args": {
            "threat_model": {"norm": "linf", "eps": 4 / 255},
            "ascent": {"steps": 3, "step_size": 2 / 255},
            "strategy": "universal",
        },
    }
    training = {"model": "emoji", "trees": ["/somewhere/private/unicode.yaml"], "objective": objective, "seed": 7}
    data = {"class_path": "hrvlm.data.Emoji", "init_args": {"batch_size": 128, "folder": "/somewhere/private"}}
    settings = {"trainer": {"max_epochs": 12}, "model": {"init_args": training}, "data": data}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def checkpoint(run: Path) -> Path:
    return run / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    main(["export", "--checkpoint", str(checkpoint), "--output", str(folder)])
    return folder


def leaf_and_top(loaded: LoadedModel, forest: Forest) -> list[torch.Tensor]:
    classifier = HierarchicalClassifier(loaded.model, loaded.head, forest)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return [classifier.logits(images, key) for key in classifier.keys]


@pytest.fixture(scope="module")
def half(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in 16 bits."""
    folder = tmp_path_factory.mktemp("half") / "model"
    main(["export", "--checkpoint", str(checkpoint), "--output", str(folder), "--half"])
    return folder


@pytest.fixture(scope="module")
def said_by_plain_open_clip(exported: Path, half: Path) -> str:
    """What one process without hrvlm says of both folders, one line each, in that order."""
    command = [sys.executable, "-W", "ignore", "-c", PLAIN, "2e-4", str(exported), str(half)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=exported.parent)
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.slow
def test_plain_open_clip_gives_the_stored_logits_without_hrvlm(said_by_plain_open_clip: str) -> None:
    assert said_by_plain_open_clip == "equal\nequal\n"


def test_the_trained_head_comes_back_and_classifies_alike(checkpoint: Path, exported: Path, forest: Forest) -> None:
    before, after = load(checkpoint), load(exported)
    assert isinstance(after.head, PoincareHead)
    assert not after.head.training
    assert after.classes == before.classes == forest.leaves
    for logits, expected in zip(leaf_and_top(after, forest), leaf_and_top(before, forest), strict=True):
        assert expected.std() > 0.01
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-6)


def test_half_is_smaller_and_loads_in_plain_open_clip_with_the_head(
    checkpoint: Path, exported: Path, half: Path, said_by_plain_open_clip: str, forest: Forest
) -> None:
    sizes = [(folder / "open_clip_model.safetensors").stat().st_size for folder in (half, exported)]
    assert sizes[0] < 0.55 * sizes[1]
    assert said_by_plain_open_clip.splitlines()[1:] == ["equal"]
    for logits, expected in zip(leaf_and_top(load(half), forest), leaf_and_top(load(checkpoint), forest), strict=True):
        torch.testing.assert_close(logits, expected, rtol=0, atol=0.05 * float(expected.std()))
    assert "16-bit" in (half / "README.md").read_text()


def test_the_card_tells_what_the_run_knows_and_no_folder_of_the_machine(exported: Path) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "zero-shot-image-classification"
    known = (
        "| base model | emoji |",
        "linf, eps 4/255",
        "3 steps",
        "`unicode.yaml`",
        "HierarchicalObjective",
        "seed 7",
    )
    for fact in (
        *known,
        "Poincaré ball (curvature 0.7, temperature 0.2, text scales 0.06",
        "max_epochs 12",
        "28, listed",
    ):
        assert fact in body, fact
    assert "private" not in card
    assert "[fill in: accuracy per level" in body


def test_a_filled_in_card_is_kept(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("my card")
    main(["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path)])
    assert (tmp_path / "README.md").read_text() == "my card"
    assert "base model" in (tmp_path / "README.new.md").read_text()
    assert "is kept" in capsys.readouterr().out


def test_a_model_without_a_head_replaces_one_with_a_head(exported: Path, tmp_path: Path) -> None:
    main(["export", "--checkpoint", str(exported), "--output", str(tmp_path)])
    assert isinstance(load(tmp_path).head, PoincareHead)
    main(["export", "--checkpoint", "emoji", "--output", str(tmp_path)])
    loaded = load(tmp_path)
    assert loaded.classes is None
    assert not isinstance(loaded.head, PoincareHead)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--checkpoint", "no.ckpt"], "expected a checkpoint at no.ckpt, found no such file"),
        (["--checkpoint", "emoji", "--run-config", "no.yaml"], "expected a run's readable configuration at no.yaml"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["export", *arguments, "--output", str(tmp_path / "new")])
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["head.json", "head.safetensors", "probe.safetensors"])
def test_a_damaged_head_is_refused(name: str, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    for path in exported.rglob("*"):
        if path.is_file():
            target = folder / path.relative_to(exported)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    path = folder / "head" / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"expected the head of a model in .*head: .*export it anew"):
        load(folder)
    path.unlink()
    with pytest.raises(ValueError, match="expected the head of a model"):
        load(folder)


def test_a_head_of_another_model_is_noticed(exported: Path, tmp_path: Path) -> None:
    main(["export", "--checkpoint", "emoji", "--output", str(tmp_path)])
    for path in (exported / "head").iterdir():
        (tmp_path / "head").mkdir(exist_ok=True)
        (tmp_path / "head" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="head and model are not of one export"):
        load(tmp_path)
    described = json.loads((tmp_path / "head" / "head.json").read_text())
    (tmp_path / "head" / "head.json").write_text(json.dumps(described | {"head": "cosine"}))
    with pytest.raises(ValueError, match="expected the head of a model"):
        load(tmp_path)
