"""The copy of a model's image side that some objectives compare with."""

from __future__ import annotations

import pytest
import torch
from tiny_models import MODEL_CONFIGS, pictures, tiny_model


@pytest.mark.parametrize("kind", MODEL_CONFIGS)
def test_it_gives_the_features_of_the_model_as_it_was(kind: str) -> None:
    model = tiny_model(kind).eval()
    images = pictures(3, size=40)  # resized inside
    expected = model.encode_image(images).detach()
    model.train()
    tower = model.frozen_image_tower()
    assert all(module.training for module in model.modules())
    assert any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in tower.modules())
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    assert all(name.startswith("clip.visual.") for name in tower.state_dict())
    assert {"clip.logit_scale", *tower.state_dict()} < {"clip.logit_scale", *model.state_dict()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    torch.testing.assert_close(tower.encode_image(images), expected)
    assert not torch.allclose(model.eval().encode_image(images), expected)
