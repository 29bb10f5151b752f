"""What does not fit an architecture is refused in a sentence that names it; activation and preprocessing are said."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from foreign_layouts import ARCHITECTURE, Written, foreign_world, open_clip_training, source, tecoa, tower_base
from tiny_models import pictures

import hrvlm
from hrvlm.models import Checkpoint, export_model, load, load_model
from hrvlm.models.checkpoints import base_model
from hrvlm.models.layouts.jit_archive import read_jit_archive
from hrvlm.models.layouts.traits import agreed_preprocessing

NAMES = ("a full dictionary", "TeCoA, PMG-AFT", "transformers' CLIP", "transformers' SigLIP", "OpenAI's archive")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Written]]:
    with foreign_world(tmp_path_factory.mktemp("foreign"), NAMES) as written:
        yield written


def refused(weights: Any, folder: Path, architecture: str = ARCHITECTURE, **stated: Any) -> str:
    """What is said of weights."""
    path = weights if isinstance(weights, Path) else folder / "weights.pt"
    if path is not weights:
        torch.save(weights, path)
    with pytest.raises(ValueError, match="expected") as error:
        load_model(architecture=architecture, weights=path, **stated)
    return str(error.value)


def copied(world: dict[str, Written], name: str, folder: Path) -> Path:
    """A folder of transformers that may be changed."""
    return Path(shutil.copytree(str(world[name].checkpoint.name), folder / "copy"))


def test_weights_of_another_architecture_are_told_by_their_shapes(world: dict[str, Written], tmp_path: Path) -> None:
    state = source().clip.state_dict()
    said = refused(state, tmp_path, "tiny_custom")
    assert "text.text_projection" in said
    state["visual.conv1.weight"] = torch.zeros(32, 3, 16, 16)
    said = refused(state, tmp_path)
    assert "visual.conv1.weight of shape (32, 3, 16, 16) where it has (32, 3, 8, 8)" in said
    assert f"the weights of {ARCHITECTURE}" in said


def test_missing_and_unknown_names_are_named_a_few_and_counted(world: dict[str, Written], tmp_path: Path) -> None:
    state = source().clip.state_dict()
    for name in [name for name in state if name.startswith("ln_final") or "resblocks.0.mlp" in name]:
        del state[name]
    said = refused(state | {"extra.weight": torch.zeros(1)}, tmp_path)
    assert ", got no " in said
    assert "and 7 more" in said
    assert "; the unknown extra.weight; state the architecture" in said


def test_a_tower_alone_needs_an_architecture_with_a_text_tower(world: dict[str, Written], tmp_path: Path) -> None:
    said = refused(source().clip.visual.state_dict(), tmp_path)
    assert f"such as {ARCHITECTURE}/openai" in said
    assert "the image tower alone" in said


def test_learned_prompts_beside_a_tower_are_refused(world: dict[str, Written], tmp_path: Path) -> None:
    content = tecoa(source().clip.visual.state_dict()) | {"add_prompter": {"prompt": torch.zeros(1, 5, 32)}}
    base = export_model(tower_base(), tmp_path / "base")
    assert "without learned prompts, got some as 'add_prompter'" in refused(content, tmp_path, str(base))


def test_an_activation_that_the_weights_were_not_trained_with_is_refused(
    world: dict[str, Written], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive = Path(str(world["OpenAI's archive"].checkpoint.weights))
    said = refused(archive, tmp_path, "tiny_gelu")
    assert "expected the activation quick_gelu" in said
    assert "states gelu; state --activation quick_gelu" in said
    images = pictures()
    stated = load_model(architecture="tiny_gelu", weights=archive, activation="quick_gelu")
    expected = load_model(architecture=ARCHITECTURE, weights=archive)
    assert torch.equal(stated.encode_image(images), expected.encode_image(images))
    assert stated.config["model_cfg"]["quick_gelu"] is True
    caplog.clear()
    other = load_model(architecture="tiny_gelu", weights=archive, activation="gelu")
    assert not torch.allclose(other.encode_image(images), expected.encode_image(images), atol=1e-3)
    assert "activation gelu, preprocessing openai" in caplog.text


def test_an_activation_that_an_image_tower_cannot_have_is_refused(world: dict[str, Written]) -> None:
    folder = world["transformers' SigLIP"].checkpoint
    with pytest.raises(ValueError, match="expected the activation gelu or gelu_tanh of the image tower vit_"):
        load(replace(folder, activation="quick_gelu"))


def test_a_run_of_open_clip_with_another_activation_is_refused(world: dict[str, Written], tmp_path: Path) -> None:
    name = "2024_01_02-model_tiny_gelu-lr_0.001-b_64-j_4-p_amp"
    said = refused(open_clip_training(source().clip.state_dict()) | {"name": name}, tmp_path)
    assert "of a run with tiny_gelu, were trained with" in said


def test_preprocessing_is_said_and_may_be_stated(world: dict[str, Written], caplog: pytest.LogCaptureFixture) -> None:
    checkpoint = world["a full dictionary"].checkpoint
    model = load(replace(checkpoint, preprocessing="inception")).model
    assert torch.equal(model.mean.flatten(), torch.full((3,), 0.5))
    assert "preprocessing inception (mean (0.5, 0.5, 0.5)" in caplog.text
    assert "activation quick_gelu" in caplog.text
    assert "tiny_vit with weights.pt: a dictionary of weights" in caplog.text


def test_preprocessing_is_that_of_all_published_weights_or_must_be_stated() -> None:
    assert agreed_preprocessing("ViT-B-16-SigLIP") == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert agreed_preprocessing("ViT-B-32")["mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    differing = [name for name in ("ViT-H-14-CLIPA", "ViT-L-14-CLIPA-336") if _differs(name)]
    for name in differing:
        with pytest.raises(ValueError, match="expected --preprocessing for"):
            agreed_preprocessing(name)


def _differs(name: str) -> bool:
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    return len({str(open_clip.get_pretrained_cfg(name, tag).get("mean")) for tag in tags}) > 1


@pytest.mark.parametrize("lacking", ["tokenizer.json", "tokenizer_config.json"])
def test_a_folder_without_its_tokenizer_is_refused(world: dict[str, Written], lacking: str, tmp_path: Path) -> None:
    folder = copied(world, "transformers' SigLIP", tmp_path)
    (folder / lacking).unlink()
    with pytest.raises(
        ValueError, match=rf"expected the tokenizer of the model in .*, found no {lacking}; write it with"
    ):
        load(folder)


def test_a_folder_that_does_not_say_its_preprocessing_is_refused(world: dict[str, Written], tmp_path: Path) -> None:
    folder = copied(world, "transformers' CLIP", tmp_path)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"crop_size": {"height": 64, "width": 64}}))
    with pytest.raises(ValueError, match=r"makes pictures of 64 pixels and config.json a model of 32"):
        load(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"no preprocessor_config.json says its preprocessing; state --preprocessing"):
        load(folder)
    model = load(Checkpoint(name=str(folder), preprocessing="openai")).model
    assert torch.equal(model.mean, load(str(world["transformers' CLIP"].checkpoint.name)).model.mean)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "blip"}, "expected a model of transformers with both towers (clip, siglip)"),
        ({"text_config": {"hidden_act": "relu"}}, "expected hidden_act of quick_gelu, gelu"),
        ({"vision_config": {"num_hidden_layers": "many"}}, "expected numbers as num_hidden_layers"),
        ({"vision_config": {"num_hidden_layers": 3}}, "vision_model.encoder.layers.2"),
        (
            {"vision_config": {"patch_size": 16}},
            "visual.conv1.weight of shape (32, 3, 8, 8) where it has (32, 3, 16, 16)",
        ),
        ({"text_config": {"hidden_act": "gelu"}}, "expected one activation in both towers"),
    ],
)
def test_settings_of_another_model_are_refused(
    world: dict[str, Written], change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    folder = copied(world, "transformers' CLIP", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for key, value in change.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="expected") as error:
        load(folder)
    assert sentence in str(error.value)


def test_a_siglip_of_a_shape_that_timm_lacks_is_refused(world: dict[str, Written], tmp_path: Path) -> None:
    folder = copied(world, "transformers' SigLIP", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["intermediate_size"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"a shape that timm has for patches of 8 .*got width.*\(32, 2, 2, 48\)"):
        load(folder)


def test_a_model_that_is_not_on_this_machine_is_told_in_a_sentence(world: dict[str, Written]) -> None:
    with pytest.raises(ValueError, match=r"expected open_clip_config.json of no/such on this machine or from the hub"):
        load("hf-hub:no/such")


def test_a_checkpoint_is_a_name_or_an_architecture_with_weights() -> None:
    with pytest.raises(ValueError, match="leave one out"):
        hrvlm.load_model("emoji", architecture="ViT-B-32", weights="x.pt")
    with pytest.raises(ValueError, match="got architecture 'ViT-B-32'"):
        hrvlm.load_model(architecture="ViT-B-32")
    with pytest.raises(ValueError, match="got neither"):
        hrvlm.load_model()
    with pytest.raises(ValueError, match=r"expected a file of weights at no.pt, found no such file"):
        hrvlm.load_model(architecture="ViT-B-32", weights="no.pt")
    with pytest.raises(ValueError, match="got the address"):
        hrvlm.load_model(architecture="ViT-B-32", weights="https://example.org/x.pt")


def test_an_untrained_model_is_the_same_one_whenever_it_is_loaded(world: dict[str, Written]) -> None:
    first = load(f"{ARCHITECTURE}/none").model.encode_image(pictures())
    torch.rand(1)
    assert torch.equal(load(f"{ARCHITECTURE}/none").model.encode_image(pictures()), first)


@pytest.mark.parametrize("stated", [{"activation": "relu"}, {"preprocessing": "mine"}])
def test_an_unknown_activation_or_preprocessing_is_refused(stated: dict[str, Any]) -> None:
    (name, value), *_ = stated.items()
    with pytest.raises(ValueError, match=rf"expected {name} as one of .*, got '{value}'"):
        hrvlm.load_model("emoji", **stated)


@pytest.mark.parametrize("layout", ["a full dictionary", "TeCoA, PMG-AFT"])
def test_training_starts_from_a_file_as_evaluation_does(world: dict[str, Written], layout: str) -> None:
    checkpoint, images = world[layout].checkpoint, pictures()
    model = base_model(str(checkpoint.architecture), checkpoint.weights)
    assert torch.equal(model.encode_image(images), load(checkpoint).model.encode_image(images))


class Opens:
    """A payload: makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def archive(path: Path, content: Any, **more: Any) -> Path:
    with ZipFile(path, "w", **more) as parts:
        parts.writestr("m/data.pkl", pickle.dumps(content, protocol=2))
        parts.writestr("m/constants.pkl", pickle.dumps((), protocol=2))
    return path


def test_an_archive_runs_nothing_and_is_bounded(world: dict[str, Written], tmp_path: Path) -> None:
    hostile = archive(tmp_path / "hostile.pt", Opens(tmp_path / "marker"))
    assert "names io.open" in refused(hostile, tmp_path)
    assert not (tmp_path / "marker").exists()
    compressed = archive(tmp_path / "compressed.pt", {}, compression=ZIP_DEFLATED)
    assert "is compressed" in refused(compressed, tmp_path)
    plain = archive(tmp_path / "plain.pt", {"a": 1})
    assert "its outermost object is no module" in refused(plain, tmp_path)
    whole = Path(str(world["OpenAI's archive"].checkpoint.weights))
    cut = tmp_path / "cut.pt"
    cut.write_bytes(whole.read_bytes()[:-3000])
    assert "expected a whole checkpoint at" in refused(cut, tmp_path)


def test_an_archive_holds_what_its_program_would_give(world: dict[str, Written]) -> None:
    path = str(world["OpenAI's archive"].checkpoint.weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the form is old, and so is what reads it
        found, expected = read_jit_archive(path), torch.jit.load(path).state_dict()
    assert expected.keys() <= found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
