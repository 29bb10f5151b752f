"""FARE against distances written out in NumPy, and its perturbation against PGD written out here."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from short_settings import made

from hrvlm.objectives import Adversarial, FAREObjective, Perturbed
from hrvlm.trees import Forest

EPS = 8 / 255


def ready(model, forest: Forest, **settings) -> FAREObjective:
    objective = made(FAREObjective, **({"eps": EPS, "step_size": EPS / 2} | settings))
    objective.bind(forest)
    objective.prepare(model)
    return objective


def distances(model, start, adversarial: torch.Tensor, images: torch.Tensor) -> np.ndarray:
    """Squared l2 distances of un-normalised embeddings, (N,)."""
    first = model.encode_image(adversarial).detach().double().numpy()
    second = start.encode_image(images).detach().double().numpy()
    return np.array([sum((a - b) ** 2 for a, b in zip(*rows, strict=True)) for rows in zip(first, second, strict=True)])


@pytest.mark.parametrize("leaves", [("ant", "bee", "cat", "dog", "elm", "fir"), ("bee", "elm")])
def test_loss_is_the_mean_squared_distance_from_the_original_clean_embedding(
    leaves: tuple[str, ...], model, forest, batch, drift: Callable
) -> None:
    images, labels = batch[0], batch[1] % len(leaves)
    objective = ready(model, forest.restrict(leaves))
    start = copy.deepcopy(model)
    drift(model)
    adversarial = objective.perturb(model, images, labels, torch.Generator().manual_seed(0))
    loss, logs = objective.loss(model, adversarial, images, labels)
    expected = distances(model, start, adversarial.images, images)
    assert expected.max() < 1e3
    assert float(loss.detach()) == pytest.approx(expected.mean(), rel=1e-4)
    assert logs.keys() == {"loss", "adversarial_accuracy"}


def test_perturbation_is_pgd_on_that_distance_from_a_random_start(model, forest, batch, drift: Callable) -> None:
    model.double()
    images, labels = batch[0].double(), batch[1]
    objective = ready(model, forest, steps=4, step_size=EPS / 3).double()
    start = copy.deepcopy(model)
    drift(model)
    found = objective.perturb(model, images, labels, torch.Generator().manual_seed(3)).images
    target = start.encode_image(images).detach()
    noise = EPS * (2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(3)) - 1)
    pixels = (images + noise).clamp(0, 1)
    for _ in range(4):
        pixels = pixels.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(((model.encode_image(pixels) - target) ** 2).sum(), pixels)
        pixels = torch.max(torch.min(pixels + EPS / 3 * gradient.sign(), images + EPS), images - EPS).clamp(0, 1)
    torch.testing.assert_close(found, pixels.detach(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("seed", [None, 4])
def test_the_first_step_of_training_has_a_perturbation_too(seed: int | None, model, forest, batch) -> None:
    """The trained model equals the reference, so the gradient at the clean images is exactly zero."""
    images, labels = batch
    objective = ready(model, forest)
    pixels = images.clone().requires_grad_()
    at_clean = (model.encode_image(pixels) - model.encode_image(images).detach()).square().sum()
    assert not bool(torch.autograd.grad(at_clean, pixels)[0].any())
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    found = objective.perturb(model, images, labels, generator).images
    noise = EPS * (2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(1)) - 1)
    random = distances(model, model, (images + noise).clamp(0, 1), images)
    assert float((found - images).abs().max()) == pytest.approx(EPS, rel=1e-4)
    assert (distances(model, model, found, images) > 3 * random).all()


def test_labels_play_no_part(model, forest, batch, drift: Callable) -> None:
    images, labels = batch
    objective = ready(model, forest)
    drift(model)
    found, losses = [], []
    for chosen in (labels, labels.flip(0)):
        adversarial = objective.perturb(model, images, chosen, torch.Generator().manual_seed(0))
        found.append(adversarial.images)
        losses.append(objective.loss(model, adversarial, images, chosen)[0])
    assert torch.equal(*found)
    assert torch.equal(*losses)


def test_gradient_is_that_of_the_distance_and_reaches_neither_texts_nor_reference(
    model, forest, batch, drift: Callable
) -> None:
    images, labels = batch
    objective = ready(model, forest)
    assert not objective.trains_text
    assert not any(parameter.requires_grad for parameter in objective.parameters())
    start = copy.deepcopy(model)
    drift(model)
    adversarial = objective.perturb(model, images, labels)
    objective.loss(model, adversarial, images, labels)[0].backward()
    assert model.text_projection.weight.grad is None
    assert all(parameter.grad is None for parameter in objective._reference[0].parameters())
    target = start.encode_image(images).detach()
    loss = (model.encode_image(adversarial.images) - target).pow(2).sum() / len(images)
    expected = torch.autograd.grad(loss, list(model.image.parameters()))
    for parameter, gradient in zip(model.image.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_half_precision_features_are_compared_in_float32(model, forest, batch) -> None:
    """Embeddings of size 300 square to more than float16 holds, and bfloat16 keeps three digits of a difference."""
    images, labels = batch
    objective = ready(model, forest)
    with torch.no_grad():
        model.image[7].bias.add_(15.0)
    clean = Adversarial((Perturbed(images),))
    exact, _ = objective.loss(model, clean, images, labels)
    assert float(exact.detach()) > 65504
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = objective.loss(model, clean, images, labels)
        found = objective.perturb(model, images, labels)
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), rel=0.02)
    assert not torch.equal(found.images, images)
