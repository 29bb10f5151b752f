"""PMG-AFT against its terms written out in NumPy, and its perturbation against PGD written out here."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from short_settings import made

from hrvlm.objectives import Adversarial, Perturbed, PMGAFTObjective
from hrvlm.objectives.pmg_aft import kl_divergence
from hrvlm.trees import Forest

EPS = 8 / 255


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    return float(
        np.mean([sum(a * np.log(a / b) for a, b in zip(*rows, strict=True)) for rows in zip(p, q, strict=True)])
    )


def probabilities(tower, model, images: torch.Tensor, prompts: list[str]) -> np.ndarray:
    """Predictions of one tower with the texts and the scale of the model."""
    features = tower.encode_image(images).detach().double().numpy()
    texts = model.project_text(model.text_hidden(prompts)).detach().double().numpy()
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    return softmax(float(model.logit_scale.detach()) * features @ texts.T)


def ready(model, forest: Forest, **settings) -> PMGAFTObjective:
    objective = made(PMGAFTObjective, **({"eps": EPS, "step_size": EPS / 2} | settings))
    objective.bind(forest)
    objective.prepare(model)
    return objective


def expected_terms(start, model, forest: Forest, adversarial, images, labels, kl: str) -> dict[str, float]:
    prompts = forest[0].prompts(0)
    attacked, plain = (probabilities(model, model, pixels, prompts) for pixels in (adversarial, images))
    original = probabilities(start, model, adversarial, prompts)
    pairs = {"general": (attacked, original), "clean": (attacked, plain)}
    if kl == "from_other":
        pairs = {name: (second, first) for name, (first, second) in pairs.items()}
    robust = -np.mean([np.log(attacked[row, label]) for row, label in enumerate(labels.tolist())])
    return {"robust": float(robust)} | {name: divergence(*pair) for name, pair in pairs.items()}


@pytest.mark.parametrize("kl", ["from_adversarial", "from_other"])
@pytest.mark.parametrize("leaves", [("ant", "bee", "cat", "dog", "elm", "fir"), ("bee", "elm")])
def test_loss_is_the_weighted_sum_of_its_three_terms(
    kl: str, leaves: tuple[str, ...], model, forest, batch, drift: Callable
) -> None:
    """Also with two classes, and after training has moved the model away from the one it started from."""
    images, labels = batch[0], batch[1] % len(leaves)
    forest = forest.restrict(leaves)
    objective = ready(model, forest, alpha=0.7, beta=1.9, kl=kl)
    start = copy.deepcopy(model)
    drift(model)
    adversarial = objective.perturb(model, images, labels)
    loss, logs = objective.loss(model, adversarial, images, labels)
    terms = expected_terms(start, model, forest, adversarial.images, images, labels, kl)
    assert min(terms.values()) > 1e-3
    assert {name: float(logs[name]) for name in terms} == pytest.approx(terms, rel=1e-4)
    total = terms["robust"] + 0.7 * terms["general"] + 1.9 * terms["clean"]
    assert float(loss.detach()) == pytest.approx(total, rel=1e-4)


def test_without_weights_it_is_tecoa_and_beta_saves_the_clean_pass(model, forest, batch, drift: Callable) -> None:
    images, labels = batch
    objective = ready(model, forest, alpha=0.0, beta=0.0)
    drift(model)
    adversarial = objective.perturb(model, images, labels)
    passes: list[int] = []
    model.image.register_forward_hook(lambda *_: passes.append(1))
    loss, logs = objective.loss(model, adversarial, images, labels)
    assert len(passes) == 1
    assert float(loss.detach()) == float(logs["robust"])
    assert float(logs["clean"]) == 0.0


def test_perturbation_is_pgd_on_the_cross_entropy_of_the_trained_model(model, forest, batch, drift: Callable) -> None:
    images, labels = batch
    objective = ready(model, forest, steps=4, step_size=EPS / 3)
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
        loss = (logits.exp().sum(1).log() - logits[torch.arange(7), labels]).sum()
        (gradient,) = torch.autograd.grad(loss, pixels)
        pixels = torch.max(torch.min(pixels + EPS / 3 * gradient.sign(), images + EPS), images - EPS).clamp(0, 1)
    same = (found - pixels).abs() < 1e-6  # but for gradients so small that rounding decides their sign
    assert float(same.float().mean()) > 0.995


def test_gradient_is_that_of_the_formula_and_reaches_neither_texts_nor_reference(
    model, forest, batch, drift: Callable
) -> None:
    images, labels = batch
    objective = ready(model, forest, alpha=0.5, beta=2.0)
    start = copy.deepcopy(model).requires_grad_(False)
    drift(model)
    adversarial = objective.perturb(model, images, labels)
    objective.loss(model, adversarial, images, labels)[0].backward()
    assert model.text_projection.weight.grad is None
    assert all(parameter.grad is None for parameter in objective._reference[0].parameters())
    texts = torch.nn.functional.normalize(model.project_text(model.text_hidden(forest[0].prompts(0))).detach())

    def log_p(tower, pixels: torch.Tensor) -> torch.Tensor:
        logits = 20.085537 * torch.nn.functional.normalize(tower.encode_image(pixels)) @ texts.T  # e³
        return logits - logits.logsumexp(1, keepdim=True)

    attacked = log_p(model, adversarial.images)
    general = attacked.exp() * (attacked - log_p(start, adversarial.images))
    clean = attacked.exp() * (attacked - log_p(model, images))
    loss = (-attacked[torch.arange(7), labels] + 0.5 * general.sum(1) + 2.0 * clean.sum(1)).mean()
    expected = torch.autograd.grad(loss, list(model.image.parameters()))
    for parameter, gradient in zip(model.image.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)


def test_divergence_is_finite_where_probabilities_vanish_and_float32_under_autocast(model, forest, batch) -> None:
    far = torch.tensor([[0.0, 300.0], [-200.0, 200.0]], requires_grad=True)
    other = torch.tensor([[300.0, 0.0], [-200.0, 200.0]])
    value = kl_divergence(far, other)
    assert value.tolist() == pytest.approx([300.0, 0.0])
    value.sum().backward()
    assert bool(far.grad.isfinite().all())
    images, labels = batch
    objective = ready(model, forest)
    exact, _ = objective.loss(model, Adversarial((Perturbed(images),)), images, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, logs = objective.loss(model, objective.perturb(model, images, labels), images, labels)
        same, _ = objective.loss(model, Adversarial((Perturbed(images),)), images, labels)
    assert {loss.dtype, logs["general"].dtype, logs["clean"].dtype, logs["robust"].dtype} == {torch.float32}
    assert float(same.detach()) == pytest.approx(float(exact.detach()), rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1.0}, "expected alpha >= 0, got -1.0"),
        ({"beta": float("nan")}, "expected beta >= 0"),
        ({"kl": "both"}, "expected kl to be one of from_adversarial, from_other, got 'both'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(PMGAFTObjective, **settings)
