"""Classifiers from class names and templates against direct computation, for both geometries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import pictures, tiny_model

from hrvlm.geometry.poincare import einstein_midpoint
from hrvlm.models import CosineHead, PoincareHead, VisionLanguageModel
from hrvlm.models.zero_shot import ZeroShotClassifier, average_templates, filled

NAMES = ["ant", "bee", "sea horse"]
TEMPLATES = ["a photo of a {}.", "the {}.", "art of the {}."]


def test_averages_of_templates_are_those_of_unit_vectors() -> None:
    features = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 5)[:, None, None]
    expected = np.zeros((5, 6))
    for k in range(5):
        total = sum(row / np.linalg.norm(row) for row in features[:, k].numpy().astype(np.float64))
        expected[k] = total / np.linalg.norm(total)
    np.testing.assert_allclose(average_templates(features).numpy(), expected, atol=1e-6)
    for wrong in (torch.ones(3, 4), torch.ones(0, 3, 4)):
        with pytest.raises(ValueError, match=r"expected features of shape \(templates, classes, width\)"):
            average_templates(wrong)


def prompts(model: VisionLanguageModel) -> torch.Tensor:
    """Un-normalised text features (templates, classes, D), one text at a time."""
    with torch.no_grad():
        rows = [[model.encode_text([t.replace("{}", name)])[0] for name in NAMES] for t in TEMPLATES]
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("per_pass", [1, 4, 512])
def test_cosine_scores_are_those_of_averaged_templates(per_pass: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hrvlm.models.zero_shot.TEXTS_PER_PASS", per_pass)
    model, images = tiny_model("vit"), pictures(4)
    classifier = ZeroShotClassifier(model, CosineHead(logit_scale=30.0), NAMES, TEMPLATES)
    with torch.no_grad():
        expected = 30.0 * model.image_features(images) @ average_templates(prompts(model)).T
        torch.testing.assert_close(classifier(images), expected, atol=1e-4, rtol=1e-4)


def test_scores_in_the_ball_are_those_of_midpoints() -> None:
    model, images = tiny_model("vit"), pictures(4)
    head = PoincareHead(curv=0.5, image_scale=0.02, text_scales=[0.03, 0.02], temperature=0.1)
    classifier = ZeroShotClassifier(model, head, NAMES, TEMPLATES)
    with torch.no_grad():
        lifted = torch.stack([head.lift_text(row, 0) for row in prompts(model)])
        midpoints = einstein_midpoint(lifted.transpose(0, 1), head.curv)
        expected = head.logits(head.lift_image(model.encode_image(images)), midpoints)
        torch.testing.assert_close(classifier(images), expected, atol=1e-4, rtol=1e-4)


def test_gradients_reach_the_images_and_modes_stay() -> None:
    model = tiny_model()
    model.train()
    classifier = ZeroShotClassifier(model, CosineHead(logit_scale=10.0), NAMES, TEMPLATES)
    assert model.training
    assert not classifier.text_points.requires_grad
    images = pictures(2).requires_grad_()
    classifier(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert "text_points" not in classifier.state_dict()


def test_wrong_templates_and_no_classes_are_refused() -> None:
    assert filled(["a {}.", "{}"], "b{}c") == ["a b{}c.", "b{}c"]
    for templates in (["a photo"], ["{} and {}"], []):
        with pytest.raises(ValueError, match=r'expected templates with one "{}" for the class each'):
            filled(templates, "ant")
    with pytest.raises(ValueError, match="expected at least one class name, got none"):
        ZeroShotClassifier(tiny_model(), CosineHead(logit_scale=10.0), [], TEMPLATES)
