"""The ascent raises the loss, stays in the budget, and leaves no trace in the model."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hrvlm.attacks import NonFiniteError, ThreatModel, frozen_parameters, perturb, perturb_jointly, pgd

THREATS = [ThreatModel("linf", 8 / 255), ThreatModel("l2", 0.5)]


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)
    ).eval()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(8, 3, 10, 10, generator=generator), torch.randint(0, 5, (8,), generator=generator)


@pytest.mark.parametrize("threat", THREATS)
def test_pgd_raises_the_loss_of_every_image_and_more_steps_help(threat: ThreatModel, model, batch) -> None:
    images, labels = batch
    losses = []
    for steps in (0, 1, 20):
        adversarial = pgd(model, images, labels, threat, steps=steps)
        threat.check(adversarial, images)
        losses.append(F.cross_entropy(model(adversarial), labels, reduction="none").detach())
    assert torch.equal(pgd(model, images, labels, threat, steps=0), images)
    assert (losses[2] > losses[0]).all()
    assert losses[2].mean() > 0.9 * losses[1].mean() > 0.9 * losses[0].mean()


def test_linear_loss_reaches_the_corner_of_the_box() -> None:
    weight = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    images = torch.full((2, 3, 4, 4), 0.5)
    images[1] = 0.99  # the upper bound cuts the budget here
    adversarial = perturb(lambda x: (x * weight).flatten(1).sum(1), images, ThreatModel("linf", 0.1), 5, 0.05)
    torch.testing.assert_close(adversarial, (images + 0.1 * weight.sign()).clamp(0, 1))


@pytest.mark.parametrize("threat", THREATS)
def test_every_iterate_keeps_the_budget(threat: ThreatModel, model, batch) -> None:
    images, _ = batch
    seen = []

    def loss(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels.detach())
        return model(pixels).square().sum(1)

    perturb(loss, images, threat, 5, threat.eps)
    assert len(seen) == 5
    for pixels in seen:
        assert float((threat.distance(pixels, images) - threat.eps).max()) < 1e-5
        assert float((pixels - 0.5).abs().max()) < 0.5 + 1e-6


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_works_in_every_gradient_mode_and_returns_plain_tensors(mode, model, batch) -> None:
    images, labels = batch
    expected = pgd(model, images, labels, THREATS[0], steps=3)
    with mode():
        adversarial = pgd(model, images.clone(), labels.clone(), THREATS[0], steps=3)
    assert torch.equal(adversarial, expected)
    assert not adversarial.requires_grad
    assert not adversarial.is_inference()


def test_leaves_gradients_flags_modes_and_inputs_alone(model, batch) -> None:
    images, labels = batch
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[5].bias.requires_grad_(False)
    model.train()
    model[1].eval()  # a frozen batch norm inside a module in train mode
    before = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    original = images.clone()
    for frozen in (False, True):
        if frozen:
            with frozen_parameters(model):
                pgd(model, images, labels, THREATS[0], steps=2)
        else:
            pgd(model, images, labels, THREATS[0], steps=2)
        for name, parameter in model.named_parameters():
            same = parameter.grad is None if before[name] is None else torch.equal(parameter.grad, before[name])
            assert same, name
        assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(images, original)
    assert not images.requires_grad


def test_frozen_parameters_restores_flags_exactly_also_after_an_error_and_for_shared_ones() -> None:
    shared = nn.Linear(2, 2)
    other = nn.Sequential(shared, nn.Linear(2, 2))
    other[1].weight.requires_grad_(False)
    flags = [p.requires_grad for p in other.parameters()]

    def fail() -> None:
        with frozen_parameters(shared, other):
            assert not any(p.requires_grad for p in other.parameters())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [p.requires_grad for p in other.parameters()] == flags


def test_random_start_depends_on_the_generator_only(model, batch) -> None:
    images, labels = batch
    torch.manual_seed(5)
    state = torch.get_rng_state()
    runs = [pgd(model, images, labels, THREATS[0], 2, None, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_joint_perturbation_solves_the_bilinear_case() -> None:
    # loss = <a, x> + <b, t>: each part goes to its own corner, independently of the other.
    a = torch.randn(1, 6, generator=torch.Generator().manual_seed(3))
    b = torch.randn(4, 2, generator=torch.Generator().manual_seed(4))
    images, delta = torch.full((3, 6), 0.5), torch.zeros(4, 2)
    adversarial, text = perturb_jointly(
        lambda x, t: (a * x).sum() + (b * t).sum(), images, delta, ThreatModel("linf", 0.1),
        eps_text=2e-4, steps=3, step_size_image=0.1, step_size_text=1e-4,
    )  # fmt: skip
    torch.testing.assert_close(adversarial, images + 0.1 * a.sign())
    torch.testing.assert_close(text, 2e-4 * b.sign())
    assert not delta.any()


def test_joint_perturbation_may_ignore_the_text_but_not_the_images() -> None:
    settings = {"eps_text": 0.1, "steps": 1, "step_size_image": 0.1, "step_size_text": 0.1}
    images, text = torch.full((2, 3), 0.5), torch.zeros(2, 2)
    _, unchanged = perturb_jointly(lambda x, t: x.sum(), images, text, THREATS[0], **settings)
    assert torch.equal(unchanged, text)
    for loss in (lambda x, t: t.sum(), lambda x, t: x.detach().sum()):
        with pytest.raises(ValueError, match="depends on the images"):
            perturb_jointly(loss, images, text, THREATS[0], **settings)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_losses_and_gradients_stop_with_step_and_images(bad: float) -> None:
    images = torch.full((2, 3), 0.5)
    calls = iter([1.0, 1.0, bad])
    with pytest.raises(NonFiniteError, match="finite loss at step 2 ") as caught:
        perturb(lambda x: (x * next(calls)).sum(1), images, THREATS[0], 4, 0.01)
    assert caught.value.step == 2
    assert caught.value.images.shape == images.shape
    with pytest.raises(NonFiniteError, match="finite image gradient at step 0 "):
        perturb(lambda x: (x - 0.5).abs().sqrt().sum(1), images, THREATS[0], 4, 0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"steps": -1}, "expected steps >= 0"), ({"step_size": math.nan}, "expected step_size >= 0"),
     ({"images": torch.full((2, 3), 2.0)}, "not normalised images")],
)  # fmt: skip
def test_bad_settings_are_refused(changes: dict[str, object], message: str) -> None:
    settings = {"images": torch.zeros(2, 3), "threat_model": THREATS[0], "steps": 1, "step_size": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        perturb(lambda x: x.sum(), **settings)
