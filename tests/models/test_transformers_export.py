"""What is written for transformers is loaded by it without a word, and gives the same features, tokens and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from foreign_layouts import TEXTS, Written, foreign_world, source
from PIL import Image
from tiny_models import tiny_model

from hrvlm.models import VisionLanguageModel, load
from hrvlm.models.layouts.transformers_export import export_tower, export_transformers

KINDS = ("open_clip", "transformers' CLIP", "transformers' SigLIP")
CLEAN: dict[str, set[str]] = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Written]]:
    names = {"transformers' CLIP", "transformers' SigLIP"}
    with foreign_world(tmp_path_factory.mktemp("foreign"), names) as written:
        yield written


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, world: dict[str, Written]) -> VisionLanguageModel:
    return source() if request.param == "open_clip" else load(world[request.param].checkpoint).model


def loaded_by_transformers(folder: Path) -> Any:
    """The model, of which nothing was left out and nothing made up."""
    kind = getattr(transformers, json.loads((folder / "config.json").read_text())["architectures"][0])
    found, told = kind.from_pretrained(folder, output_loading_info=True, local_files_only=True)
    assert {name: set(told[name]) for name in CLEAN} == CLEAN
    return found.eval()


def eight_bits(model: VisionLanguageModel) -> tuple[list[Any], torch.Tensor]:
    """Pictures of the model's size, for transformers and for hrvlm."""
    levels = torch.randint(0, 256, (2, *model.image_size, 3), generator=torch.Generator().manual_seed(2))
    pictures = [Image.fromarray(picture.byte().numpy()) for picture in levels]
    return pictures, levels.permute(0, 3, 1, 2) / 255.0


@torch.no_grad()
def test_both_towers_are_those_of_the_model(model: VisionLanguageModel, tmp_path: Path) -> None:
    theirs = loaded_by_transformers(export_transformers(model, tmp_path / "whole"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "whole", local_files_only=True)
    images = transformers.AutoImageProcessor.from_pretrained(tmp_path / "whole", local_files_only=True)
    pictures, pixels = eight_bits(model)
    inputs = images(pictures, return_tensors="pt").pixel_values
    torch.testing.assert_close(inputs, model.preprocess(pixels), rtol=0, atol=1e-5)
    found, expected = theirs.get_image_features(pixel_values=inputs).pooler_output, model.encode_image(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)
    length = model.tokenize(["a"]).shape[1]
    tokens = tokenizer(TEXTS, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
    texts = theirs.get_text_features(input_ids=tokens).pooler_output
    torch.testing.assert_close(texts, model.encode_text(TEXTS), rtol=1e-5, atol=2e-5)
    assert float(theirs.logit_scale.exp()) == pytest.approx(float(model.logit_scale), rel=1e-5)
    again = load(tmp_path / "whole").model
    torch.testing.assert_close(again.encode_image(pixels), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_tower_alone_gives_the_layers_that_others_build_on(model: VisionLanguageModel, tmp_path: Path) -> None:
    tower = loaded_by_transformers(export_tower(model, tmp_path / "tower"))
    assert type(tower).__name__ in ("CLIPVisionModel", "SiglipVisionModel")
    whole = loaded_by_transformers(export_transformers(model, tmp_path / "whole"))
    images = transformers.AutoImageProcessor.from_pretrained(tmp_path / "tower", local_files_only=True)
    pictures, pixels = eight_bits(model)
    inputs = images(pictures, return_tensors="pt").pixel_values
    torch.testing.assert_close(inputs, model.preprocess(pixels), rtol=0, atol=1e-5)
    found = tower(pixel_values=inputs, output_hidden_states=True)
    expected = whole.vision_model(pixel_values=inputs, output_hidden_states=True)
    torch.testing.assert_close(found.hidden_states[-2], expected.hidden_states[-2], rtol=0, atol=1e-6)
    pooled = found.pooler_output
    projected = pooled @ model.clip.visual.proj if hasattr(model.clip.visual, "proj") else pooled
    torch.testing.assert_close(projected, model.encode_image(pixels), rtol=1e-5, atol=2e-5)


def test_sixteen_bits_are_rounded_numbers_of_the_model(tmp_path: Path) -> None:
    model = source()
    theirs = loaded_by_transformers(export_transformers(model, tmp_path / "half", half=True))
    pixels = eight_bits(model)[1]
    with torch.no_grad():
        found = theirs.get_image_features(pixel_values=model.preprocess(pixels)).pooler_output
    torch.testing.assert_close(found, model.encode_image(pixels).detach(), rtol=0, atol=2e-2)
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 0.6 * sum(
        value.nbytes for value in model.clip.state_dict().values()
    )


@pytest.mark.parametrize("kind", ["resnet", "custom"])
def test_a_model_that_transformers_lacks_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a model that transformers has .*--to open_clip"):
        export_transformers(tiny_model(kind), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_folder_for_open_clip_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a folder of its own for an export to transformers"):
        export_tower(source(), tmp_path)


def test_the_noise_of_training_goes_along(tmp_path: Path) -> None:
    model, noise = source(), {"sigma": 0.25, "mode": "fixed", "share": 1.0}
    model.config["training_noise"] = noise
    loaded_by_transformers(export_transformers(model, tmp_path / "whole"))
    assert load(tmp_path / "whole").model.config["training_noise"] == noise
