"""The pixel interface against plain open_clip with its own preprocessing."""

from __future__ import annotations

import copy

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from tiny_models import pictures, tiny_config, tiny_model
from torchvision.transforms import v2

from hrvlm.models import VisionLanguageModel
from hrvlm.models.building import from_config

TEXTS = ["a picture of a fox", "a boat", "a rather longer sentence about a red apple on a blue table"]


def open_clip_transform(config: dict) -> object:
    return image_transform_v2(PreprocessCfg(**merge_preprocess_dict(PreprocessCfg(), config)), is_train=False)


def test_features_are_those_of_open_clip_with_its_own_preprocessing(any_model: VisionLanguageModel) -> None:
    config = any_model.config["preprocess_cfg"]
    transform = open_clip_transform(config)
    pixels = (pictures().permute(0, 2, 3, 1) * 255).byte()
    prepared = torch.stack([transform(Image.fromarray(image.numpy())) for image in pixels])
    images = pixels.permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        torch.testing.assert_close(any_model.preprocess(images), prepared)
        expected = any_model.clip.encode_image(prepared)
        torch.testing.assert_close(any_model.encode_image(images), expected, rtol=1e-4, atol=1e-5)
        unit = any_model.clip.encode_image(prepared, normalize=True)
        torch.testing.assert_close(any_model.image_features(images), unit, rtol=1e-4, atol=1e-5)


def test_text_features_are_those_of_open_clip(any_model: VisionLanguageModel) -> None:
    tokens = open_clip.SimpleTokenizer(context_length=16)(TEXTS)
    assert torch.equal(any_model.tokenize(TEXTS), tokens)
    with torch.no_grad():
        torch.testing.assert_close(any_model.encode_text(TEXTS), any_model.clip.encode_text(tokens))
        unit = any_model.clip.encode_text(tokens, normalize=True)
        torch.testing.assert_close(any_model.text_features(TEXTS), unit)
        assert float(any_model.logit_scale) == pytest.approx(float(any_model.clip.logit_scale.exp()))


@pytest.mark.parametrize(("interpolation", "mode"), [("bicubic", 3), ("bilinear", 2), ("random", 3)])
@pytest.mark.parametrize("size", [(64, 64), (20, 20), (48, 40)])
def test_resizing_inside_is_that_of_pillow(interpolation: str, mode: int, size: tuple[int, int]) -> None:
    model = tiny_model(interpolation=interpolation)
    smooth = F.interpolate(pictures(1, 6), size, mode="bilinear") * 0.8 + 0.1
    pixels = (smooth[0].permute(1, 2, 0) * 255).round().byte().numpy()
    resized = Image.fromarray(pixels).resize((32, 32), Image.Resampling(mode))
    found = model.preprocess(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)
    shown = found * model.std + model.mean
    np.testing.assert_allclose(shown[0].permute(1, 2, 0), np.asarray(resized) / 255.0, atol=1.6 / 255)


def test_square_resizing_is_that_of_open_clip(tiny: VisionLanguageModel) -> None:
    smooth = F.interpolate(pictures(1, 5), (50, 50), mode="bilinear") * 0.8 + 0.1
    pixels = (smooth[0].permute(1, 2, 0) * 255).round().byte()
    expected = open_clip_transform(tiny.config["preprocess_cfg"])(Image.fromarray(pixels.numpy()))
    found = tiny.preprocess(pixels.permute(2, 0, 1)[None] / 255)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1.6 / 255 / 0.2)


def test_projected_hidden_texts_are_the_encoded_texts(any_model: VisionLanguageModel) -> None:
    hidden = any_model.text_hidden(TEXTS)
    assert hidden.shape == (3, 32)
    assert not hidden.requires_grad
    torch.testing.assert_close(any_model.project_text(hidden), any_model.encode_text(TEXTS))
    assert not torch.allclose(hidden, any_model.encode_text(TEXTS), atol=0.1)


def test_the_projection_is_what_the_gradient_of_projected_texts_reaches(any_model: VisionLanguageModel) -> None:
    model = copy.deepcopy(any_model)
    model.project_text(model.text_hidden(TEXTS)).square().sum().backward()
    reached = {id(parameter) for parameter in model.parameters() if parameter.grad is not None}
    assert reached == {id(parameter) for parameter in model.text_projection_parameters()}
    assert reached


def test_an_error_in_the_text_tower_leaves_the_projection_in_place(any_model: VisionLanguageModel) -> None:
    model = copy.deepcopy(any_model)
    before, names = model.encode_text(TEXTS), [name for name, _ in model.named_parameters()]
    with pytest.raises(ValueError, match="expected a list of texts"):
        model.text_hidden("fox")
    model.tokenizer = lambda texts: torch.full((1, 16), 10**6)
    with pytest.raises((IndexError, RuntimeError)):
        model.text_hidden(["fox"])
    model.tokenizer = any_model.tokenizer
    assert torch.equal(model.encode_text(TEXTS), before)
    assert [name for name, _ in model.named_parameters()] == names


@pytest.mark.parametrize("size", [32, 44])
def test_the_gradient_reaches_pixels_through_everything(any_model: VisionLanguageModel, size: int) -> None:
    model = copy.deepcopy(any_model).double()
    images = (0.1 + 0.8 * pictures(1, size).double()).requires_grad_()
    (gradient,) = torch.autograd.grad(model.image_features(images)[0, 0], images)
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = 1e-6
    with torch.no_grad():
        ends = [model.image_features(images + sign * step * direction)[0, 0] for sign in (1, -1)]
    slope = float(ends[0] - ends[1]) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-3)
    assert gradient.abs().sum() > 0


def test_shape_of_the_model_is_stated(any_model: VisionLanguageModel) -> None:
    assert any_model.image_size == (32, 32)
    assert any_model.embed_dim == any_model.encode_image(pictures(1)).shape[1] == 32
    assert not any_model.training


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 1, 32, 32), (2, 32, 32, 3), (2, 3, 32)])
def test_wrong_shapes_are_refused(tiny: VisionLanguageModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected images of shape \(N, 3, H, W\), got"):
        tiny.encode_image(torch.rand(shape))


def test_a_text_tower_without_projection_is_refused() -> None:
    config = tiny_config("custom")
    config["model_cfg"]["text_cfg"] |= {"proj_type": "none", "proj_bias": False}
    with pytest.raises(ValueError, match="expected a text tower with a linear projection"):
        from_config(config, name="bare").text_hidden(TEXTS)


def test_means_follow_the_model_but_are_no_weights(tiny: VisionLanguageModel) -> None:
    assert copy.deepcopy(tiny).double().mean.dtype == torch.float64
    assert all(key.startswith("clip.") for key in tiny.state_dict())
    assert v2.functional.normalize(pictures(1), [0.3, 0.5, 0.6], [0.2, 0.25, 0.4]).allclose(
        tiny.preprocess(pictures(1)), atol=1e-6
    )
