"""Descriptions of models of strangers: bounded, nothing fetched, no tokenizer's program run."""

from __future__ import annotations

import copy
import json
import socket
from pathlib import Path
from typing import Any

import open_clip
import pytest
from tiny_models import RESNET, TEXT, VIT

from hrvlm.models import load, load_model
from hrvlm.models.building import from_config
from hrvlm.models.descriptions import checked_description

TRANSFORMER = VIT | {"layers": 2}


def described(**changes: Any) -> dict[str, Any]:
    """A small model's description with settings changed, such as text_cfg={"layers": 3}."""
    model_cfg: dict[str, Any] = {"embed_dim": 32, "vision_cfg": dict(RESNET), "text_cfg": dict(TEXT)}
    for part, settings in changes.items():
        model_cfg[part] = model_cfg[part] | settings if isinstance(model_cfg.get(part), dict) else settings
    return {"model_cfg": model_cfg, "preprocess_cfg": {}}


BAD = {
    "layers": (described(text_cfg={"layers": 100_000}), "layers of at most 512"),
    "layers of the image tower": (described(vision_cfg=TRANSFORMER | {"layers": 100_000}), "layers of at most"),
    "layers in a list": (described(vision_cfg={"layers": [1, 1, 10**6, 1]}), "layers of at most"),
    "a long list of layers": (described(vision_cfg={"layers": [1] * 10**5}), "entries as layers"),
    "width": (described(text_cfg={"width": 10**6}), "width of at most"),
    "layers times width": (described(text_cfg={"layers": 500, "width": 30_000}), "parameters"),
    "convolutions": (described(vision_cfg={"width": 30_000}), "parameters"),
    "vocabulary": (described(text_cfg={"vocab_size": 10**9}), "vocab_size"),
    "pictures": (described(vision_cfg={"image_size": 10**6}), "image_size"),
    "places": (described(vision_cfg=TRANSFORMER | {"image_size": 8000, "patch_size": 1, "width": 8000}), "parameters"),
    "another number": (described(init_logit_scale=1e300), "init_logit_scale"),
    "a number that is none": (described(text_cfg={"mlp_ratio": float("nan")}), "mlp_ratio"),
    "a model of a hub": (described(vision_cfg={"timm_model_name": "hf-hub:some/model"}), "timm_model_name"),
    "a folder as text tower": (described(text_cfg={"hf_model_name": "../some/folder"}), "hf_model_name"),
    "a folder as tokenizer": (described(text_cfg={"hf_tokenizer_name": "/some/folder"}), "hf_tokenizer_name"),
    "a file of a tokenizer": (described(text_cfg={"tokenizer_kwargs": {"bpe_path": "/some/file"}}), "bpe_path"),
    "no text tower": ({"model_cfg": {"vision_cfg": {}}}, "text_cfg"),
    "a list": ([1], "mapping"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_description_without_end_is_refused(case: str) -> None:
    config, named = BAD[case]
    with pytest.raises(ValueError, match=named) as caught:
        from_config(config, name="some")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("architecture", open_clip.list_models())
def test_every_architecture_of_open_clip_is_within_the_bounds(architecture: str) -> None:
    model_cfg = open_clip.get_model_config(architecture)
    checked = checked_description({"model_cfg": model_cfg, "preprocess_cfg": {}})
    kept = {key: value for key, value in model_cfg["text_cfg"].items() if not key.endswith("pretrained")}
    assert checked["model_cfg"]["text_cfg"].items() >= kept.items()


def test_fewer_parameters_are_counted_than_there_are() -> None:
    for config in (described(), described(vision_cfg=TRANSFORMER)):
        model = from_config(config, name="some")
        count = sum(part.numel() for part in model.clip.parameters())
        checked_description(config, num_bytes=count)
        with pytest.raises(ValueError, match="bytes of weights"):
            checked_description(config, num_bytes=count // 2)


def test_a_description_of_more_than_the_weights_is_refused_before_it_is_built(tiny_model: Path, tmp_path: Path) -> None:
    folder = copied(tiny_model, tmp_path / "model", text_cfg={"width": 1024, "layers": 100})
    with pytest.raises(ValueError, match="bytes of weights"):
        load_model(folder)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Attempts to reach another machine, which all fail, noted since libraries swallow the errors."""
    attempts: list[Any] = []

    def refuse(*arguments: Any, **settings: Any) -> None:
        attempts.append(arguments)
        raise AssertionError(f"reached for the network: {arguments}")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


@pytest.mark.parametrize(
    "settings",
    [
        {"hf_tokenizer_name": "nobody/none"},
        {"hf_tokenizer_name": "nobody/none", "tokenizer_kwargs": {"trust_remote_code": True}},
        {"hf_model_name": "nobody/none", "hf_tokenizer_name": "nobody/none", "hf_model_pretrained": True},
    ],
    ids=["tokenizer", "tokenizer with a program", "text tower"],
)
def test_a_local_folder_reaches_for_no_network_and_tells_what_is_missing(
    settings: dict[str, Any], tiny_model: Path, tmp_path: Path, reached: list[Any]
) -> None:
    folder = copied(tiny_model, tmp_path / "model", text_cfg=settings)
    with pytest.raises(ValueError, match="'nobody/none' of Hugging Face"):
        load(folder)
    assert not reached


def test_the_program_of_a_tokenizer_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "program.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w').close()\nclass Own: pass\n")
    own = {"auto_map": {"AutoTokenizer": ["program.Own", None], "AutoConfig": "program.Own"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(own | {"tokenizer_class": "Own"}))
    (folder / "config.json").write_text(json.dumps(own | {"model_type": "own"}))
    monkeypatch.chdir(tmp_path)  # a name that is one of a hub is looked for here too
    trusting = {"hf_tokenizer_name": "tokenizer", "tokenizer_kwargs": {"trust_remote_code": True}}
    for settings in (trusting, {"hf_model_name": "tokenizer", "hf_tokenizer_name": "tokenizer"}):
        with pytest.raises(ValueError, match="expected"):
            from_config(described(text_cfg=settings), name="some")
    assert not (tmp_path / "marker").exists()


def copied(folder: Path, target: Path, **changes: Any) -> Path:
    """A copy of a model folder with another description of the same weights."""
    target.mkdir()
    for path in folder.glob("*.safetensors"):
        (target / path.name).write_bytes(path.read_bytes())
    config = copy.deepcopy(json.loads((folder / "open_clip_config.json").read_text()))
    for part, settings in changes.items():
        config["model_cfg"][part] |= settings
    (target / "open_clip_config.json").write_text(json.dumps(config))
    return target
