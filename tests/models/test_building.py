"""Models from descriptions, and which activation pretrained weights need."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from tiny_models import MODEL_CONFIGS, tiny_config, tiny_model

from hrvlm.models.building import _tokenizer, described_model, from_config, from_open_clip, read_config


def test_the_activation_is_that_of_the_weights_for_every_pretrained_tag() -> None:
    for architecture, tag in open_clip.list_pretrained():
        described = described_model(architecture, tag)
        trained_with = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
        assert described.get("quick_gelu", False) or not trained_with
        plain = open_clip.get_model_config(architecture)
        assert described == plain | ({"quick_gelu": True} if described.get("quick_gelu") else {})
    assert described_model("ViT-B-32", "openai")["quick_gelu"]
    assert "quick_gelu" not in described_model("ViT-B-32", "laion2b_s34b_b79k")
    assert "quick_gelu" not in described_model("ViT-B-32", None)


@pytest.mark.parametrize("kind", MODEL_CONFIGS)
def test_the_description_is_kept_and_builds_what_it_says(kind: str) -> None:
    config = tiny_config(kind)
    model = from_config(config, name="x")
    assert config == tiny_config(kind)
    assert model.config["model_cfg"] == config["model_cfg"]
    assert model.config["preprocess_cfg"].items() >= config["preprocess_cfg"].items()
    assert json.loads(json.dumps(model.config)) == model.config
    quick = any(isinstance(module, QuickGELU) for module in model.modules())
    assert quick == (kind == "vit")
    assert type(model.clip).__name__ == ("CustomTextCLIP" if kind == "custom" else "CLIP")


def test_building_draws_from_torchs_generator_only() -> None:
    first, second = tiny_model(seed=3), tiny_model(seed=3)
    assert all((a == b).all() for a, b in zip(first.parameters(), second.parameters(), strict=True))


def broken(change: Any) -> dict[str, Any]:
    config = tiny_config()
    change(config)
    return config


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_cfg": None},
        {"model_cfg": []},
        broken(lambda config: config["model_cfg"].pop("text_cfg")),
        broken(lambda config: config["model_cfg"].pop("vision_cfg")),
        broken(lambda config: config["model_cfg"].pop("embed_dim")),
        broken(lambda config: config["model_cfg"].update(colour="red")),
        broken(lambda config: config["model_cfg"]["vision_cfg"].update(colour="red")),
        broken(lambda config: config["model_cfg"]["text_cfg"].update(width="wide")),
        broken(lambda config: config.update(preprocess_cfg=["mean"])),
    ],
)
def test_descriptions_that_fit_no_model_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected model_cfg of 'odd' to describe an open_clip model"):
        from_config(config, name="odd")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"embed_dim": 3}', b"\xff\xfe\x00"])
def test_unreadable_descriptions_are_refused(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "model.json"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=r"expected .*model\.json"):
        read_config(path)


def test_the_packaged_architecture_can_be_built() -> None:
    path = Path(__file__).parents[2] / "configs" / "emoji" / "model.json"
    model = from_config(read_config(path), name="emoji")
    assert model.image_size == (64, 64)


def test_unknown_names_are_refused_before_anything_is_downloaded() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"expected an open_clip architecture .*got 'ViT-Z-1'"):
            from_open_clip("ViT-Z-1", None)
        with pytest.raises(ValueError, match=r"expected a pretrained tag of ViT-B-32 \(openai, .*got 'openia'"):
            from_open_clip("ViT-B-32", "openia")


def test_tokenizers_share_tables_and_not_lengths() -> None:
    short, long = tiny_model().tokenizer, _tokenizer({"context_length": 40}, {})
    texts = ["a picture of a fox", "A photo of 3 red Apples, on white!", "kjærlighet 犬", "word " * 60]
    for made, length in ((short, 16), (long, 40), (open_clip.tokenizer._tokenizer, 77)):
        assert made.encoder is short.encoder
        assert torch.equal(made(texts), open_clip.SimpleTokenizer(context_length=length)(texts))
