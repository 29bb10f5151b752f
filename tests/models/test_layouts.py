"""Checkpoints as others write them give the features that their own libraries give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers
from foreign_layouts import LAYOUTS, TEXTS, Written, foreign_world
from tiny_models import pictures

from hrvlm.models import cosine_head, load
from hrvlm.models.layouts.transformers_config import CLIP_PROJECTION, DEFAULTS
from hrvlm.models.timm_siglip import named_trunk
from hrvlm.models.zero_shot import ZeroShotClassifier


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Written]]:
    with foreign_world(tmp_path_factory.mktemp("foreign")) as written:
        yield written


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_are_those_of_the_library_that_wrote_it(world: dict[str, Written], layout: str) -> None:
    written = world[layout]
    loaded = load(written.checkpoint)
    head: Any = loaded.head
    model, images = loaded.model, pictures()
    with torch.no_grad():
        found, expected = model.encode_image(images), written.image_features(model.preprocess(images))
        texts, expected_texts = model.encode_text(TEXTS), written.text_features(TEXTS)
    assert expected.std() > 0.1
    assert expected_texts.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(texts, expected_texts, rtol=1e-5, atol=1e-5)
    assert float(model.logit_scale.detach()) == pytest.approx(written.logit_scale, rel=1e-5)
    assert float(head.logit_scale.detach()) == pytest.approx(written.logit_scale, rel=1e-5)
    assert loaded.classes is None


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_settings_that_a_folder_leaves_out_are_those_of_transformers(kind: str) -> None:
    whole: Any = {"clip": transformers.CLIPConfig, "siglip": transformers.SiglipConfig}[kind]()
    for defaults, theirs in zip(DEFAULTS[kind], (whole.text_config, whole.vision_config), strict=True):
        assert all(getattr(theirs, name) == value for name, value in defaults.items() if value is not None)
    if kind == "clip":
        assert whole.projection_dim == CLIP_PROJECTION
    else:
        assert whole.text_config.projection_size == whole.text_config.hidden_size


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ({}, "vit_base_patch16_siglip_224"),
        ({"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304,
          "image_size": 384, "patch_size": 14}, "vit_so400m_patch14_siglip_384"),
    ],
)  # fmt: skip
def test_published_sizes_of_siglip_are_found_in_timm(shape: dict[str, int], name: str) -> None:
    assert named_trunk(DEFAULTS["siglip"][1] | shape) == name


@torch.no_grad()
def test_a_sigmoid_model_classifies_as_its_own_probabilities_do(world: dict[str, Written]) -> None:
    """SigLIP's probability of a pair is the sigmoid of scale * cosine + bias: monotone, one bias for all classes."""
    model, images = load(world["transformers' SigLIP"].checkpoint).model, pictures(16)
    model.clip.logit_scale.fill_(4.77)
    model.clip.logit_bias.fill_(-12.9)
    classifier = ZeroShotClassifier(model, cosine_head(model), TEXTS, ["{}"])
    cosines = model.image_features(images) @ model.text_features(TEXTS).T
    logits = model.clip.logit_scale.exp() * cosines + model.clip.logit_bias
    scores = classifier(images)
    torch.testing.assert_close(scores - scores[:, :1], logits - logits[:, :1], rtol=1e-4, atol=1e-4)
    assert torch.equal(scores.argmax(dim=1), torch.sigmoid(logits.double()).argmax(dim=1))
    assert float(model.logit_scale) > 100
