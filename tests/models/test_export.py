"""Exported folders: what plain open_clip makes of them, and which changes are noticed."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import MODEL_CONFIGS, pictures, tiny_model

from hrvlm.models import VisionLanguageModel, export_model
from hrvlm.models.building import CONFIG_FILE
from hrvlm.models.export import WEIGHTS_FILE, load_folder

TEXTS = ["a picture of a hedgehog", "a small boat"]


@pytest.fixture
def folder(tiny: VisionLanguageModel, tmp_path: Path) -> Path:
    return export_model(tiny, tmp_path / "exported")


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(folder / WEIGHTS_FILE)
    change(state)
    save_file(state, folder / WEIGHTS_FILE)


def test_plain_open_clip_loads_the_folder(
    any_model: VisionLanguageModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = export_model(any_model, tmp_path / "exported")
    with caplog.at_level(logging.WARNING):
        clip, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    clip.eval()  # open_clip leaves models in training mode
    assert not caplog.records
    normalise = transform.transforms[-1]
    assert list(normalise.mean) == [0.3, 0.5, 0.6]
    images = pictures()
    with torch.no_grad():
        features = clip.encode_image(normalise(images), normalize=True)
        torch.testing.assert_close(features, any_model.image_features(images), rtol=0, atol=1e-5)
        texts = clip.encode_text(tokenizer(TEXTS), normalize=True)
        torch.testing.assert_close(texts, any_model.text_features(TEXTS), rtol=0, atol=1e-5)
        torch.testing.assert_close(clip.logit_scale.exp(), any_model.logit_scale)


def test_a_loaded_folder_is_the_model(any_model: VisionLanguageModel, tmp_path: Path) -> None:
    loaded = load_folder(export_model(any_model, tmp_path / "some name"))
    assert loaded.name == "some name"
    assert loaded.config == any_model.config
    assert not loaded.training
    state = any_model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())


@pytest.mark.parametrize("kind", MODEL_CONFIGS)
def test_half_rounds_the_file_and_leaves_the_model(kind: str, tmp_path: Path) -> None:
    model = tiny_model(kind)
    before = copy.deepcopy(model.state_dict())
    whole, half = export_model(model, tmp_path / "whole"), export_model(model, tmp_path / "half", half=True)
    sizes = [(folder / WEIGHTS_FILE).stat().st_size for folder in (half, whole)]
    assert sizes[0] < 0.55 * sizes[1]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    loaded = load_folder(half)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for key, value in loaded.clip.state_dict().items():
        exact = before[f"clip.{key}"]
        assert torch.equal(value, exact.half().float() if exact.dim() > 1 else exact), key
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.image_features(pictures()), model.image_features(pictures()), rtol=0, atol=5e-3
        )


def test_exporting_leaves_training_modes_alone_and_overwrites(tmp_path: Path) -> None:
    first, second = tiny_model(seed=1), tiny_model(seed=2).train()
    second.clip.visual.bn1.eval()
    statistics = second.clip.visual.bn2.running_mean.clone()
    export_model(first, tmp_path)
    export_model(second, tmp_path)
    assert second.clip.training
    assert not second.clip.visual.bn1.training
    assert torch.equal(second.clip.visual.bn2.running_mean, statistics)
    loaded = load_folder(tmp_path).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in second.state_dict().items())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda c: c["model_cfg"].update(quick_gelu=True), "text_features"),
        (lambda c: c["preprocess_cfg"].update(mean=[0.5, 0.5, 0.5]), "image_features"),
        (lambda c: c["preprocess_cfg"].update(std=[0.2, 0.25, 0.45]), "image_features"),
        (lambda c: c.pop("preprocess_cfg"), "image_features"),
        (lambda c: c["model_cfg"]["text_cfg"].update(heads=4), "text_features"),
    ],
)
def test_a_changed_description_is_noticed(folder: Path, change: Callable[[dict[str, Any]], object], what: str) -> None:
    load_folder(folder)
    change_config(folder, change)
    with pytest.raises(ValueError, match=rf"expected the model at .*exported to reproduce the {what} of its probe"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("visual.layer2.0.conv2.weight", "image_features"),
        ("visual.layer3.0.bn1.running_mean", "image_features"),
        ("token_embedding.weight", "text_features"),
        ("text_projection", "text_features"),
        ("logit_scale", "logit_scale"),
    ],
)
def test_changed_weights_are_noticed(folder: Path, key: str, what: str) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        state[key] = state[key] * 1.1 + 0.01

    change_weights(folder, change)
    with pytest.raises(ValueError, match=f"to reproduce the {what} of its probe batch within 0.001"):
        load_folder(folder)
    assert load_folder(folder, check=False).embed_dim == 32


def test_weights_that_are_no_numbers_are_refused(folder: Path) -> None:
    change_weights(folder, lambda state: state["text_projection"].fill_(float("nan")))
    with pytest.raises(ValueError, match="got NaN or infinity in text_projection"):
        load_folder(folder)


@pytest.mark.parametrize("half", [False, True])
def test_a_model_that_its_config_does_not_describe_is_not_exported(tmp_path: Path, half: bool) -> None:
    """As when weights trained with QuickGELU were loaded into an architecture whose file says GELU."""
    model = tiny_model("vit")
    del model.config["model_cfg"]["quick_gelu"]
    with pytest.raises(ValueError, match=r"expected the model when exported to reproduce the (image|text)_features"):
        export_model(model, tmp_path / "new", half=half)
    assert not (tmp_path / "new").exists()


def test_a_refused_export_leaves_what_was_there(folder: Path) -> None:
    model = tiny_model("vit")
    del model.config["model_cfg"]["quick_gelu"]
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(ValueError, match="expected the model when exported"):
        export_model(model, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_others_may_read_the_files(folder: Path) -> None:
    """As any new file; the writer of safetensors shuts others out."""
    (folder / "plain").touch()
    expected = (folder / "plain").stat().st_mode
    files = [path for path in folder.rglob("*.*") if path.is_file()]
    assert len(files) == 5  # config, weights, probe, its texts, card
    assert {path.stat().st_mode for path in files} == {expected}


def damage(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])


def test_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"readable JSON model description at .*nowhere"):
        load_folder(tmp_path / "nowhere")
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ValueError, match=r"expected a \.safetensors file in .*exported, found none"):
        load_folder(folder)
    (folder / CONFIG_FILE).write_text("{}")
    with pytest.raises(ValueError, match=r'the key "model_cfg" in .*open_clip_config'):
        load_folder(folder)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.7])
def test_truncated_files_are_named_in_one_line(folder: Path, kept: float) -> None:
    for name, sentence in (("probe/probe.safetensors", "readable probe batch"), (WEIGHTS_FILE, "to hold the weights")):
        damage(folder / name, kept)
        with pytest.raises(ValueError, match=f"{sentence}") as caught:
            load_folder(folder)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600


def test_weights_of_another_architecture_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    other = export_model(tiny_model("vit"), tmp_path / "other")
    (folder / WEIGHTS_FILE).write_bytes((other / WEIGHTS_FILE).read_bytes())
    with pytest.raises(ValueError, match="to hold the weights that its config describes") as caught:
        load_folder(folder)
    assert "\n" not in str(caught.value)


def test_a_probe_of_other_shapes_is_refused(folder: Path) -> None:
    path = folder / "probe" / "probe.safetensors"
    probe = load_file(path)
    save_file(probe | {"text_features": probe["text_features"][:, :5].contiguous()}, path)
    with pytest.raises(ValueError, match="text_features"):
        load_folder(folder)
    save_file({"images": probe["images"]}, path)
    with pytest.raises(ValueError, match="readable probe batch"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("images", torch.zeros(3)),
        ("images", torch.zeros(2, 3, 5, 5)),
        ("images", torch.zeros(0, 3, 32, 32)),
        ("images", torch.zeros(2, 3, 32, 32, dtype=torch.float64)),
        ("text_features", torch.zeros(3, 16, dtype=torch.bool)),
        ("image_features", torch.zeros(4, 0)),
        ("logit_scale", torch.full((1,), torch.inf)),
    ],
)
def test_a_probe_that_no_export_writes_is_refused(folder: Path, name: str, content: torch.Tensor) -> None:
    path = folder / "probe" / "probe.safetensors"
    save_file(load_file(path) | {name: content}, path)
    with pytest.raises(ValueError, match=rf"expected {name} .*in the probe batch at .* got {content.dtype} of shape"):
        load_folder(folder)
