"""The contrastive objective against its terms written out in NumPy; captions come from the batch, not from labels."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.objectives import ImageTextContrastiveObjective
from hrvlm.objectives.image_text_contrastive import pair_losses
from hrvlm.trees import Forest

EPS = 8 / 255
CAPTIONS = ["a red ant", "a bee", "ants at night", "two dogs", "a tree", "a bee", "a dog and a ball"]


def ready(model, forest: Forest, **settings) -> ImageTextContrastiveObjective:
    attack = {"threat_model": ThreatModel(eps=EPS), "ascent": Ascent(steps=4, step_size=EPS / 3)}
    objective = ImageTextContrastiveObjective(**attack, **settings)
    objective.bind(forest)
    objective.prepare(model)
    return objective


def unit(features: torch.Tensor) -> np.ndarray:
    array = features.detach().double().numpy()
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def log_softmax(logits: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return logits - np.log((np.exp(logits) * kept).sum(axis=1))[:, None]


def test_loss_is_contrastive_with_both_deviations_and_equal_captions_are_no_negatives(
    model, forest, batch, drift: Callable
) -> None:
    images = batch[0]
    objective = ready(model, forest, feature_weight=0.7, logit_weight=1.9)
    start = copy.deepcopy(model)
    drift(model)
    targets = objective.targets(model, {"image": images, "caption": CAPTIONS})
    adversarial = objective.perturb(model, images, targets)
    loss, logs = objective.loss(model, adversarial, images, targets)
    texts = unit(model.project_text(model.text_hidden(CAPTIONS)))
    attacked, original = unit(model.encode_image(adversarial.images)), unit(start.encode_image(images))
    logits = np.exp(3.0) * attacked @ texts.T
    kept = np.ones((7, 7))
    kept[1, 5] = kept[5, 1] = 0  # "a bee" twice
    contrast = -(np.diag(log_softmax(logits, kept)) + np.diag(log_softmax(logits.T, kept))).mean() / 2
    features = ((attacked - original) ** 2).sum(axis=1).mean()
    first, second = (log_softmax(np.exp(3.0) * part @ texts.T, np.ones((7, 7))) for part in (original, attacked))
    deviation = (np.exp(first) * (first - second)).sum(axis=1).mean()
    expected = {"contrast": contrast, "features": features, "logits": deviation}
    assert min(expected.values()) > 1e-3
    assert {name: float(logs[name]) for name in expected} == pytest.approx(expected, rel=1e-3)
    assert float(loss.detach()) == pytest.approx(contrast + 0.7 * features + 1.9 * deviation, rel=1e-4)
    assert float(logs["matched"]) == pytest.approx((logits.argmax(axis=1) == np.arange(7)).mean())


def test_perturbation_is_pgd_on_the_contrastive_loss(model, forest, batch, drift: Callable) -> None:
    images = batch[0]
    objective = ready(model, forest)
    drift(model)
    targets = objective.targets(model, {"caption": CAPTIONS})
    found = objective.perturb(model, images, targets, torch.Generator().manual_seed(3)).images
    start = EPS * (2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(3)) - 1)
    pixels = (images + start).clamp(0, 1)
    twice = torch.zeros(7, 7)
    twice[1, 5] = twice[5, 1] = float("-inf")
    for _ in range(4):
        pixels = pixels.detach().requires_grad_()
        features = model.encode_image(pixels)
        logits = model.logit_scale.detach() * features / features.norm(dim=1, keepdim=True) @ targets.T + twice
        loss = (logits.logsumexp(1) + logits.logsumexp(0) - 2 * logits.diagonal()).sum() / 2
        (gradient,) = torch.autograd.grad(loss, pixels)
        pixels = torch.max(torch.min(pixels + EPS / 3 * gradient.sign(), images + EPS), images - EPS).clamp(0, 1)
    same = (found - pixels).abs() < 1e-6  # but for gradients so small that rounding decides their sign
    assert float(same.float().mean()) > 0.99
    ThreatModel(eps=EPS).check(found, images)


def test_gradient_is_right_in_double_precision_and_reaches_the_image_tower_alone(model, forest, batch) -> None:
    logits = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    same = torch.zeros(3, 5, dtype=torch.bool)
    same[0, 1] = same[0, 4] = True
    assert torch.autograd.gradcheck(lambda x: pair_losses(x[0], x[1], torch.tensor([1, 2, 3]), same), logits)
    images = batch[0]
    objective = ready(model, forest)
    model.train()
    targets = objective.targets(model, {"caption": CAPTIONS})
    assert model.training
    objective.loss(model, objective.perturb(model, images, targets), images, targets)[0].backward()
    assert model.text_projection.weight.grad is None
    assert all(parameter.grad is not None for parameter in model.image.parameters())


def test_captions_are_computed_outside_autocast_as_other_texts_are(model, forest) -> None:
    objective, plain = ready(model, forest), model.text_hidden
    model.text_hidden = lambda texts: plain(texts) @ torch.eye(10)  # a tower that autocast would compute in few bits
    expected = objective.targets(model, {"caption": CAPTIONS})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(objective.targets(model, {"caption": CAPTIONS}), expected)


def test_pictures_without_captions_and_negative_weights_are_refused(model, forest, batch) -> None:
    objective = ready(model, forest)
    with pytest.raises(ValueError, match="expected pictures with captions, got a batch without"):
        objective.targets(model, {"image": batch[0], "label": batch[1]})
    for name in ("feature_weight", "logit_weight"):
        with pytest.raises(ValueError, match=f"expected {name} >= 0, got nan"):
            ImageTextContrastiveObjective(**{name: float("nan")})
