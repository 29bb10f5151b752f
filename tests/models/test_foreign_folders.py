"""Folders and hub models in other forms that occur: several files, old files, other ends of texts, tokenizers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from foreign_layouts import HUB_NAME, REVISION, TEXTS, Written, clip_tokenizer, foreign_world
from safetensors.torch import load_file, save_file
from tiny_models import pictures

from hrvlm.cli.certify import main
from hrvlm.models import VisionLanguageModel, export_model, load
from hrvlm.models.building import from_open_clip

CLIP = "transformers' CLIP"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture(scope="module")
def world(place: Path) -> Iterator[dict[str, Written]]:
    with foreign_world(place, (CLIP, "hf-hub")) as written:
        yield written


@pytest.fixture
def folder(world: dict[str, Written], tmp_path: Path) -> Path:
    """A `CLIPModel` folder that may be changed."""
    return Path(shutil.copytree(str(world[CLIP].checkpoint.name), tmp_path / "clip"))


@torch.no_grad()
def same(model: VisionLanguageModel, written: Written) -> None:
    images = pictures()
    torch.testing.assert_close(
        model.encode_image(images), written.image_features(model.preprocess(images)), rtol=1e-5, atol=1e-5
    )


def test_weights_in_several_files_are_put_together(world: dict[str, Written], folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: state[name] for name in own}, folder / file)
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    same(load(folder).model, world[CLIP])
    index["weight_map"] = {"x": "../model-1.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="expected names of files beside it"):
        load(folder)


def test_an_old_file_of_weights_is_read(world: dict[str, Written], folder: Path) -> None:
    positions = {"text_model.embeddings.position_ids": torch.arange(16)[None]}  # which older versions stored
    torch.save(load_file(folder / "model.safetensors") | positions, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    same(load(folder).model, world[CLIP])
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"expected weights in .*, as model.safetensors"):
        load(folder)


@torch.no_grad()
def test_texts_may_end_with_another_token_than_the_highest(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = clip_tokenizer().convert_tokens_to_ids("x</w>")
    (folder / "config.json").write_text(json.dumps(config))
    theirs, texts = transformers.CLIPModel.from_pretrained(folder).eval(), ["a box is a tax", "an axe, x and wax"]
    given: Any = clip_tokenizer()(texts, padding="max_length", max_length=16, truncation=True, return_tensors="pt")
    expected = theirs.get_text_features(input_ids=given.input_ids).pooler_output
    torch.testing.assert_close(load(folder).model.encode_text(texts), expected, rtol=1e-5, atol=1e-5)


def to_cache(model: VisionLanguageModel, place: Path, name: str) -> Path:
    """A model as the hub's client keeps it, without its tokenizer's files."""
    repository = place / "hf-hub" / "cache" / f"models--{name.replace('/', '--')}"
    snapshot = export_model(model, repository / "snapshots" / REVISION)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (snapshot / file).unlink(missing_ok=True)
    return snapshot


@torch.no_grad()
def test_a_model_of_the_hub_brings_its_tokenizer_or_says_which_is_missing(
    world: dict[str, Written], place: Path
) -> None:
    assert HUB_NAME != "tiny/siglip-of-the-hub"
    model = from_open_clip("tiny_siglip", None)
    snapshot = to_cache(model, place, "tiny/siglip-of-the-hub")
    found = load("hf-hub:tiny/siglip-of-the-hub").model
    assert torch.equal(found.tokenize(TEXTS), model.tokenize(TEXTS))
    torch.testing.assert_close(found.encode_text(TEXTS), model.encode_text(TEXTS), rtol=1e-5, atol=1e-5)
    config = json.loads((snapshot / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "nobody/tokenizer"
    (snapshot / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="expected the tokenizer 'nobody/tokenizer' of hf-hub:tiny/siglip-of-the-hub"):
        load("hf-hub:tiny/siglip-of-the-hub")


@pytest.mark.parametrize("lacking", ["tokenizer.json", "config.json"])
def test_what_is_missing_is_one_sentence_on_the_command_line(
    folder: Path, lacking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / lacking).unlink()
    with pytest.raises(SystemExit) as stopped:
        main(["attack", "--checkpoint", str(folder), "--data", "emoji", "--output", str(tmp_path / "results")])
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected" in error
    assert str(folder) in error
    assert not (tmp_path / "results").exists()
