"""Both heads: interface, ranking of the affine scorer, averages, scales and their start values, the norm cap."""

from __future__ import annotations

import math

import pytest
import torch

from hrvlm.geometry import poincare
from hrvlm.models.heads import CosineHead, Head, PoincareHead


def features(seed: int, count: int, dim: int = 16, scale: float = 4.0) -> torch.Tensor:
    return scale * torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def poincare_head(**overrides: object) -> PoincareHead:
    settings = {"curv": 0.5, "image_scale": 0.06, "text_scales": [0.07, 0.05, 0.04], "temperature": 0.12} | overrides
    return PoincareHead(**settings)  # type: ignore[arg-type]


HEADS = [CosineHead(20.0), poincare_head()]


@pytest.mark.parametrize("head", HEADS)
def test_affine_scorer_has_the_ranking_of_the_logits(head: Head) -> None:
    images, texts = head.lift_image(features(0, 300)), head.lift_text(features(1, 40), 1)
    weight, bias = head.affine(images, texts)
    assert weight.dtype == bias.dtype == torch.float64
    scores = images.double() @ weight.T + bias
    # Rank in float64: float32 logits may tie where the exact ones do not.
    logits = head.logits(images.double(), texts.double())
    assert torch.equal(scores.argsort(dim=-1), logits.argsort(dim=-1))
    assert torch.equal(scores.argmax(dim=-1), head.logits(images, texts).argmax(dim=-1))


@pytest.mark.parametrize("head", HEADS)
def test_distance_falls_as_the_logit_rises(head: Head) -> None:
    images, texts = head.lift_image(features(2, 6)), head.lift_text(features(3, 7), 0)
    distances = head.distance(images[:, None], texts)
    assert torch.equal(distances.argsort(dim=-1), head.logits(images, texts).argsort(dim=-1, descending=True))


@pytest.mark.parametrize("head", HEADS)
def test_average_is_the_average_of_each_group_and_stays_on_the_manifold(head: Head) -> None:
    points = head.lift_image(features(4, 4))
    averages = head.average(points, torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=torch.float32))
    if isinstance(head, PoincareHead):
        expected = poincare.einstein_midpoint(points[:2], head.curv)
    else:
        expected = (points[0] + points[1]) / (points[0] + points[1]).norm()
    torch.testing.assert_close(averages[0], expected)
    torch.testing.assert_close(averages[1], points[2])
    assert not averages[2].any()
    assert (head.norm(averages) <= head.norm(points).max() + 1e-6).all()


@pytest.mark.parametrize("head", HEADS)
def test_max_margin_is_reached_at_antipodal_points(head: Head) -> None:
    point = head.lift_image(features(5, 1))
    gap = head.logits(point, point) - head.logits(point, -point)
    torch.testing.assert_close(head.max_margin(head.norm(point)), gap[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_bfloat16_features_and_autocast_give_float32_scores(head: Head) -> None:
    images, texts = features(6, 5).bfloat16(), features(7, 3).bfloat16()
    expected = head.logits(head.lift_image(images.float()), head.lift_text(texts.float(), 0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = head.logits(head.lift_image(images), head.lift_text(texts, 0))
        average = head.average(head.lift_image(images), torch.ones(1, 5))
    assert got.dtype == average.dtype == torch.float32
    assert torch.equal(got, expected)


@pytest.mark.parametrize(
    "make",
    [lambda: CosineHead(7.0), lambda: CosineHead(), lambda: poincare_head(), lambda: PoincareHead(text_scales=3)],
)
def test_state_dict_holds_tensors_and_restores_the_head(make) -> None:
    source, target = make(), make()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.1)
    source.initialised.fill_(True)
    state = source.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    target.load_state_dict(state)
    assert not target.needs_features
    images, texts = features(8, 2), features(9, 3)
    for level in range(2):
        logits = [head.logits(head.lift_image(images), head.lift_text(texts, level)) for head in (source, target)]
        assert torch.equal(*logits)


def test_points_are_scaled_features_under_exp0() -> None:
    head, x = poincare_head(), features(10, 3)
    torch.testing.assert_close(head.lift_image(x), poincare.exp_map0(0.06 * x, 0.5))
    torch.testing.assert_close(head.lift_text(x, 2), poincare.exp_map0(0.04 * x, 0.5))
    unit, even = x / x.norm(dim=-1, keepdim=True), poincare_head(normalise_texts=True)
    torch.testing.assert_close(even.lift_text(x, 2), poincare.exp_map0(0.04 * unit, 0.5))
    torch.testing.assert_close(head.logits(head.lift_image(x), head.lift_text(x, 2)).diagonal(),
                               -head.distance(head.lift_image(x), head.lift_text(x, 2)) / 0.12)  # fmt: skip


def test_ranking_of_texts_at_the_start_is_that_of_cosines() -> None:
    images, texts = features(40, 200), features(41, 50, scale=3.0)
    texts *= torch.linspace(0.5, 2.0, 50)[:, None]  # norms that say nothing of the classes
    cosine = torch.nn.functional.normalize(images, dim=-1) @ torch.nn.functional.normalize(texts, dim=-1).T
    same = []
    for even in (True, False):
        head = PoincareHead(text_scales=1, normalise_texts=even)
        head.initialise(images, [texts])
        logits = head.logits(head.lift_image(images), head.lift_text(texts, 0))
        same.append(float((logits.argmax(1) == cosine.argmax(1)).float().mean()))
    assert same[0] == 1.0
    assert same[1] < 0.9


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_initial_radii_follow_the_start_values(levels: int, even: bool) -> None:
    head = PoincareHead(curv=2.0, text_scales=levels, normalise_texts=even)
    assert head.needs_features
    images, texts = (
        features(11, 50, scale=9.0),
        [features(12 + level, 30, scale=2.0 + level) for level in range(levels)],
    )
    head.initialise(images, texts)
    root = math.sqrt(2.0)
    radius = root * (head.image_scale.detach() * images).norm(dim=-1).mean()
    assert float(radius) == pytest.approx(0.87, rel=1e-5)
    got = [
        float(root * (scale * (text / text.norm(dim=-1, keepdim=True) if even else text)).norm(dim=-1).mean())
        for scale, text in zip(head.text_scales.detach(), texts, strict=True)
    ]
    expected = {1: [0.95], 2: [0.95, 0.55], 3: [0.95, 0.75, 0.55], 5: [0.95, 0.85, 0.75, 0.65, 0.55]}[levels]
    assert got == pytest.approx(expected, rel=1e-5)
    assert not head.needs_features
    with pytest.raises(ValueError, match="expected text features of"):
        head.initialise(images, [*texts, texts[0]])
    with pytest.raises(ValueError, match="pass a batch of images"):
        head.initialise(None, texts)
    with pytest.raises(ValueError, match="positive finite mean norm"):
        head.initialise(torch.zeros(2, 4), texts)


def test_norm_cap_keeps_direction_order_and_gradient() -> None:
    head = poincare_head(curv=0.5, image_scale=1.0, norm_cap=0.9)
    direction = torch.nn.functional.normalize(features(13, 1), dim=-1)
    sizes = torch.linspace(0, 6, 400, dtype=torch.float64)[:, None]
    x = (sizes * direction.double()).requires_grad_()
    radius = math.sqrt(0.5) * head.norm(head.lift_image(x))
    assert float(radius.detach().max()) <= 0.9 + 1e-6
    assert float(radius.detach().max()) > 0.89
    assert (radius.diff() > 0).all()
    torch.testing.assert_close(
        head.lift_image(x)[1:] / head.norm(head.lift_image(x))[1:, None], direction.double().expand(399, -1)
    )
    (slope,) = torch.autograd.grad(radius.sum(), x)
    slope = (slope @ direction.double().T).squeeze()
    assert (slope[1:] > 0).all()  # the norm itself has no derivative at zero
    assert float(slope[1:].diff().abs().max()) < 0.03  # no jump where the cap sets in: the step of size is 0.015
    below = math.sqrt(0.5) * sizes.squeeze() < 0.8 * math.atanh(0.9) - 1e-3
    torch.testing.assert_close(radius[below].detach(), torch.tanh(math.sqrt(0.5) * sizes.squeeze()[below]))


@pytest.mark.parametrize("value", [0.0, 1e-20, 1e20])
@pytest.mark.parametrize("head", HEADS)
def test_extreme_features_give_finite_points_and_gradients(head: Head, value: float) -> None:
    x = torch.full((2, 4), value, requires_grad=True)
    logits = head.logits(head.lift_image(x), head.lift_text(-x, 0))
    assert logits.isfinite().all()
    assert torch.autograd.grad(logits.sum(), x)[0].isfinite().all()


def test_what_is_trained_can_be_switched() -> None:
    def trained(head: Head) -> set[str]:
        return {name for name, parameter in head.named_parameters() if parameter.requires_grad}

    assert trained(CosineHead(trainable=False)) == set()
    assert trained(PoincareHead()) == {"log_image_scale", "log_text_scales", "log_temperature"}
    assert trained(PoincareHead(trainable_scales=False)) == {"log_temperature"}
    assert trained(PoincareHead(trainable_temperature=False)) == {"log_image_scale", "log_text_scales"}


def test_temperature_and_logit_scale_are_held_in_range() -> None:
    assert float(CosineHead(1000.0).logit_scale.detach()) == 100.0
    assert float(PoincareHead(temperature=1e-6).temperature.detach()) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curv": 0.0}, "expected curv > 0"),
        ({"norm_cap": 1.0}, "expected norm_cap"),
        ({"temperature": -1.0}, "expected temperature > 0"),
        ({"image_scale": None}, "both given or both left out"),
        ({"text_scales": 3}, "both given or both left out"),
        ({"text_scales": [0.1, 0.0]}, "expected text_scales > 0"),
        ({"text_scales": []}, "at least one level"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        poincare_head(**arguments)


def test_cosine_scale_is_taken_from_the_model_unless_given() -> None:
    head = CosineHead()
    assert head.needs_features
    assert not CosineHead(5.0).needs_features
    head.initialise(None, [], 31.0)
    assert not head.needs_features
    assert float(head.logit_scale.detach()) == pytest.approx(31.0)
    with pytest.raises(ValueError, match="expected the model's logit_scale"):
        head.initialise(None, [])
