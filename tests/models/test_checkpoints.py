"""Checkpoints as training writes them, and what else a user may hand to `load`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import pictures, tiny_model
from torch import nn

from hrvlm.models import CosineHead, Head, PoincareHead, VisionLanguageModel, export_model, load, load_model
from hrvlm.models.checkpoints import DESCRIPTION, describe

CLASSES = ["fox", "red apple", "boat"]
TEXTS = [f"a picture of a {name}" for name in CLASSES]
LEVELS = 3


def poincare_head(model: VisionLanguageModel) -> PoincareHead:
    head = PoincareHead(curv=0.7, text_scales=LEVELS, temperature=0.2, norm_cap=0.9)
    with torch.no_grad():
        head.initialise(model.encode_image(pictures()), [model.encode_text(TEXTS)] * LEVELS)
    return head


HEADS: dict[str, Callable[[VisionLanguageModel], Head]] = {
    "cosine": lambda model: CosineHead(logit_scale=17.0),
    "poincare": poincare_head,
}


class Objective(nn.Module):
    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("weights", torch.ones(2))


class Training(nn.Module):
    """The part of a training module that a checkpoint's names come from."""

    def __init__(self, model: VisionLanguageModel, head: Head) -> None:
        super().__init__()
        self.model, self.objective = model, Objective(head)
        self.teacher = nn.Linear(2, 2)

    def checkpoint(self) -> dict[str, Any]:
        description = describe(self.model, self.objective.head, CLASSES)
        return {"epoch": 3, "state_dict": self.state_dict(), DESCRIPTION: description, "loops": {}}


def logits(model: VisionLanguageModel, head: Head, level: int = 0) -> torch.Tensor:
    with torch.no_grad():
        points = head.lift_text(model.encode_text(TEXTS), level)
        return head.logits(head.lift_image(model.encode_image(pictures(5, 40))), points)


@pytest.fixture(params=HEADS)
def trained(request: pytest.FixtureRequest) -> Training:
    model = tiny_model("custom" if request.param == "cosine" else "resnet", seed=4)
    return Training(model, HEADS[request.param](model))


@pytest.fixture
def path(trained: Training, tmp_path: Path) -> Path:
    torch.save(trained.checkpoint(), tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_a_checkpoint_gives_the_model_and_head_that_were_trained(trained: Training, path: Path) -> None:
    head = trained.objective.head
    trained.train()
    loaded = load(path)
    trained.eval()
    assert type(loaded.head) is type(head)
    assert loaded.classes == tuple(CLASSES)
    assert loaded.model.name == trained.model.name
    assert loaded.model.config == trained.model.config
    assert not loaded.model.training
    assert not loaded.head.training
    assert not loaded.head.needs_features
    for level in range(LEVELS):
        assert torch.equal(logits(loaded.model, loaded.head, level), logits(trained.model, head, level))
    assert logits(loaded.model, loaded.head).std() > 1e-3
    assert loaded.head.state_dict().keys() == head.state_dict().keys()
    assert all(torch.equal(value, head.state_dict()[key]) for key, value in loaded.head.state_dict().items())


def test_paths_may_be_text_and_the_model_may_be_had_alone(trained: Training, path: Path) -> None:
    model = load_model(str(path))
    assert torch.equal(model.encode_image(pictures()), trained.model.eval().encode_image(pictures()))


def change(path: Path, what: Callable[[dict[str, Any]], object]) -> None:
    checkpoint = torch.load(path, weights_only=True)
    what(checkpoint)
    torch.save(checkpoint, path)


@pytest.mark.parametrize(
    "what",
    [
        lambda c: c[DESCRIPTION]["config"]["model_cfg"].update(embed_dim=16),
        lambda c: c[DESCRIPTION]["config"]["model_cfg"]["vision_cfg"].update(width=64),
        lambda c: c[DESCRIPTION]["config"]["model_cfg"].pop("text_cfg"),
        lambda c: c[DESCRIPTION]["config"].pop("model_cfg"),
        lambda c: c[DESCRIPTION].pop("config"),
        lambda c: c[DESCRIPTION].pop("classes"),
        lambda c: c[DESCRIPTION].update(classes=None),
        lambda c: c[DESCRIPTION].update(head="cone"),
        lambda c: c[DESCRIPTION].update(head="poincare" if c[DESCRIPTION]["head"] == "cosine" else "cosine"),
        lambda c: c["state_dict"].pop("model.clip.logit_scale"),
        lambda c: c["state_dict"].pop("objective.head.initialised"),
        lambda c: c["state_dict"].update({"model.clip.extra": torch.ones(1)}),
        lambda c: c.pop("state_dict"),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_line(path: Path, what: Callable[[dict[str, Any]], object]) -> None:
    change(path, what)
    with pytest.raises(ValueError, match=r"expected .*last\.ckpt to fit its own description") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "content",
    [{"state_dict": {}}, {DESCRIPTION: "model"}, {DESCRIPTION: {"format": 99}}, [1, 2], torch.ones(2), None],
)
def test_files_of_other_programs_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"expected a checkpoint of hrvlm's .*format 1\) at .*other\.ckpt"):
        load(tmp_path / "other.ckpt")


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    model = tiny_model()
    path = tmp_path / "damaged.ckpt"
    torch.save(Training(model, CosineHead(5.0)).checkpoint(), path)
    content = path.read_bytes()
    for kept in (0, 10, 1000, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=r"expected a (readable|whole) checkpoint at .*damaged\.ckpt"):
            load(path)
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(ValueError, match=r"expected a (readable|whole) checkpoint at .*damaged\.ckpt"):
        load(path)
    with pytest.raises(ValueError, match=r"expected a checkpoint at .*no\.ckpt, found no such file"):
        load(tmp_path / "no.ckpt")
    (tmp_path / "sharded.ckpt").mkdir()
    with pytest.raises(ValueError, match=r"expected a readable checkpoint at .*sharded\.ckpt"):
        load(tmp_path / "sharded.ckpt")


class Code:
    """Would make a folder when unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_a_checkpoint_with_code_is_refused_and_not_run(path: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(path, weights_only=True)
    torch.save(checkpoint | {"hooks": Code(tmp_path / "trace")}, path)
    with pytest.raises(ValueError, match="expected a readable checkpoint"):
        load(path)
    assert not (tmp_path / "trace").exists()
    torch.load(path, weights_only=False)  # the same file does run its code where that is allowed
    assert (tmp_path / "trace").exists()


def test_an_exported_folder_gets_the_head_of_plain_clip(tmp_path: Path) -> None:
    model = tiny_model("vit")
    loaded = load(export_model(model, tmp_path / "model"))
    assert loaded.classes is None
    assert isinstance(loaded.head, CosineHead)
    with torch.no_grad():
        expected = model.clip.get_logits(model.preprocess(pictures(5, 40)), model.tokenize(TEXTS))[0]
    torch.testing.assert_close(logits(loaded.model, loaded.head), expected)


@pytest.mark.parametrize("name", ["emjoi", "ViT-B-32", "runs/no/such/folder", "ViT-Z-1/openai", "/no/model", ""])
def test_unknown_names_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="expected "):
        load(name)


def test_an_unknown_tag_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"expected a pretrained tag of ViT-B-32 \(openai, .*got 'openia'"):
        load("ViT-B-32/openia")


@pytest.mark.parametrize("kind", HEADS)
def test_descriptions_are_primitives(kind: str, tiny: VisionLanguageModel) -> None:
    def primitive(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and primitive(entry) for key, entry in value.items())
        if isinstance(value, list):
            return all(map(primitive, value))
        return value is None or type(value) in (str, int, float, bool)

    description = describe(tiny, HEADS[kind](tiny), CLASSES)
    assert primitive(description)
    assert description["head"] == kind


def test_a_scale_above_that_of_clip_is_kept(tmp_path: Path) -> None:
    model = tiny_model("custom", seed=4).eval()
    head = CosineHead(logit_scale=150.0, max_logit_scale=200.0)
    torch.save(Training(model, head).checkpoint(), tmp_path / "last.ckpt")
    loaded = load(tmp_path / "last.ckpt")
    exported = load(export_model(model, tmp_path / "exported", head=head, classes=CLASSES))
    expected = logits(model, head)
    torch.testing.assert_close(logits(loaded.model, loaded.head), expected)
    torch.testing.assert_close(logits(exported.model, exported.head), expected)
    with pytest.raises(ValueError, match="expected max_logit_scale > 0, got nan"):
        CosineHead(max_logit_scale=float("nan"))
