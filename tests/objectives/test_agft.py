"""AGFT against its loss written out in NumPy, and its perturbation against PGD on that loss written out here."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.objectives import AGFTObjective
from hrvlm.objectives.agft import alignment_loss
from hrvlm.trees import Forest

EPS = 8 / 255


def ready(model, forest: Forest, steps: int = 3, step_size: float = EPS / 2, **settings) -> AGFTObjective:
    attack = {"threat_model": ThreatModel(eps=EPS), "ascent": Ascent(steps=steps, step_size=step_size)}
    objective = AGFTObjective(**attack, **settings)
    objective.bind(forest)
    objective.prepare(model)
    return objective


def cosines(tower, model, images: torch.Tensor, prompts: list[str]) -> np.ndarray:
    features = tower.encode_image(images).detach().double().numpy()
    texts = model.project_text(model.text_hidden(prompts)).detach().double().numpy()
    return (features / np.linalg.norm(features, axis=1)[:, None]) @ (texts / np.linalg.norm(texts, axis=1)[:, None]).T


@pytest.mark.parametrize(("inverse_temperature", "scale"), [(None, np.exp(3.0)), (180.0, 180.0)])
def test_loss_is_the_cross_entropy_from_the_softened_original_predictions(
    inverse_temperature: float | None, scale: float, model, forest, batch, drift: Callable
) -> None:
    images, labels = batch
    objective = ready(model, forest, gamma=0.3, inverse_temperature=inverse_temperature)
    start, prompts = copy.deepcopy(model), forest[0].prompts(0)
    drift(model)
    adversarial = objective.perturb(model, images, labels)
    loss, _ = objective.loss(model, adversarial, images, labels)
    target = np.exp(0.3 * scale * cosines(start, model, images, prompts))
    target /= target.sum(axis=1)[:, None]
    logits = scale * cosines(model, model, adversarial.images, prompts)
    logs = logits - np.log(np.exp(logits).sum(axis=1))[:, None]
    assert float(loss.detach()) == pytest.approx(-float((target * logs).sum(axis=1).mean()), rel=1e-4)


def test_labels_play_no_part_but_for_the_accuracy(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(model, forest)
    found = [objective.perturb(model, images, of) for of in (labels, (labels + 1) % 6)]
    assert torch.equal(found[0].images, found[1].images)
    losses = [objective.loss(model, found[0], images, of)[0] for of in (labels, (labels + 1) % 6)]
    assert torch.equal(*losses)


def test_perturbation_is_pgd_on_the_loss(model, forest, batch, drift: Callable) -> None:
    images, labels = batch
    objective = ready(model, forest, steps=4, step_size=EPS / 3)
    target = (0.4 * objective._original_logits(model, images)).softmax(-1)  # as the test above computes it
    drift(model)
    found = objective.perturb(model, images, labels, torch.Generator().manual_seed(3)).images
    texts = model.project_text(model.text_hidden(forest[0].prompts(0))).detach()
    texts = texts / texts.norm(dim=1, keepdim=True)
    start = EPS * (2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(3)) - 1)
    pixels = (images + start).clamp(0, 1)
    for _ in range(4):
        pixels = pixels.detach().requires_grad_()
        features = model.encode_image(pixels)
        logits = model.logit_scale.detach() * features / features.norm(dim=1, keepdim=True) @ texts.T
        loss = (logits.exp().sum(1).log() - (target * logits).sum(1)).sum()
        (gradient,) = torch.autograd.grad(loss, pixels)
        pixels = torch.max(torch.min(pixels + EPS / 3 * gradient.sign(), images + EPS), images - EPS).clamp(0, 1)
    same = (found - pixels).abs() < 1e-6  # but for gradients so small that rounding decides their sign
    assert float(same.float().mean()) > 0.995


def test_gradient_is_right_in_double_precision_and_reaches_the_image_tower_alone(model, forest, batch) -> None:
    logits, original = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 6
    assert torch.autograd.gradcheck(lambda x: alignment_loss(x, original, 0.4), logits.requires_grad_())
    images, labels = batch
    objective = ready(model, forest)
    objective.loss(model, objective.perturb(model, images, labels), images, labels)[0].backward()
    assert model.text_projection.weight.grad is None
    assert all(parameter.grad is None for parameter in objective._reference[0].parameters())
    assert all(parameter.grad is not None for parameter in model.image.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 0.0}, r"expected gamma in \(0, 1\], got 0.0"),
        ({"gamma": float("nan")}, r"expected gamma in \(0, 1\]"),
        ({"inverse_temperature": -1.0}, "expected inverse_temperature > 0 and finite, got -1.0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AGFTObjective(**settings)
