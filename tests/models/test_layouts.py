"""Checkpoints as others write them give the features that their own libraries give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from foreign_layouts import LAYOUTS, TEXTS, Written, foreign_world
from tiny_models import pictures

from hrvlm.models import load


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
