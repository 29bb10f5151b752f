"""Guidance at every level against divergences written out in NumPy, and what each of its switches does."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.objectives import Guidance, GuidedHierarchicalObjective, HierarchicalObjective, NoisyModel
from hrvlm.objectives.guided_hierarchical import mean_divergence

EPS = 8 / 255
ATTACK = {"threat_model": ThreatModel(eps=EPS), "ascent": Ascent(steps=2, step_size=EPS / 2)}


def ready(model, forest, images, kind=GuidedHierarchicalObjective, **settings):
    torch.manual_seed(0)
    objective = kind(**ATTACK, **settings)
    objective.bind(forest)
    objective.prepare(model, images)
    return objective


def predictions(objective, tower, model, images) -> dict[tuple[int, int], np.ndarray]:
    """Of one tower at every level of every tree, in float64, with the head and the texts of the model."""
    features = objective.text_features(model)
    points = objective.head.lift_image(tower.encode_image(images)).double()
    found = {}
    for tree, level, place in objective.node_slices():
        texts = objective.head.lift_text(features[place], level).double()
        logits = objective.head.logits(points, texts).detach().numpy()
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found[tree, level] = powers / powers.sum(axis=1, keepdims=True)
    return found


def expected(
    forest, first: dict[tuple[int, int], np.ndarray], second: dict[tuple[int, int], np.ndarray], only: int | None = None
) -> float:
    """Σ over trees and their levels, or one, of (1 − l/(L+1))·mean KL; leaves count in every tree."""
    total = 0.0
    for index, tree in enumerate(forest):
        for level in range(len(tree.levels)):
            key = (index if level else 0, level)
            rows = zip(first[key], second[key], strict=True)
            divergence = np.mean([sum(p * np.log(p / q) for p, q in zip(*row, strict=True)) for row in rows])
            total += (only in (None, level)) * (1 - level / len(tree.levels)) * divergence
    return total


@pytest.mark.parametrize("shown", ["adversarial", "clean"])
@pytest.mark.parametrize("strategy", ["universal", "per_level"])
def test_the_loss_is_the_hierarchical_one_and_divergences_at_every_level(
    shown, strategy, model, forest, batch, drift: Callable
):
    images, labels = batch
    guidance = Guidance(general=0.7, clean=1.9, shown=shown)
    objective = ready(model, forest, images, guidance=guidance, strategy=strategy)
    plain = ready(model, forest, images, HierarchicalObjective, strategy=strategy)
    start = copy.deepcopy(model)
    drift(model)
    adversarial = objective.perturb(model, images, labels)
    loss, logs = objective.loss(model, adversarial, images, labels)
    hierarchical, _ = plain.loss(model, adversarial, images, labels)
    general = clean = 0.0
    for part in adversarial.parts:
        attacked, own = (predictions(objective, model, model, pixels) for pixels in (part.images, images))
        original = predictions(objective, start, model, part.images if shown == "adversarial" else images)
        general += expected(forest, attacked, original, part.level)
        clean += expected(forest, attacked, own, part.level)
    assert min(general, clean) > 1e-3
    assert float(logs["general"]) == pytest.approx(general, rel=1e-3)
    assert float(logs["clean"]) == pytest.approx(clean, rel=1e-3)
    total = float(hierarchical.detach()) + 0.7 * general + 1.9 * clean
    assert float(loss.detach()) == pytest.approx(total, rel=1e-4) == float(logs["loss"])


def test_without_weights_it_is_the_hierarchical_objective_and_encodes_no_more(model, forest, batch, monkeypatch):
    images, labels = batch
    guided = ready(model, forest, images, guidance=Guidance(general=0.0, clean=0.0))
    plain = ready(model, forest, images, HierarchicalObjective)
    found, expected_parts = (objective.perturb(model, images, labels) for objective in (guided, plain))
    assert torch.equal(found.images, expected_parts.images)
    calls = []
    encode = type(model).encode_image
    monkeypatch.setattr(type(model), "encode_image", lambda self, x: calls.append(len(x)) or encode(self, x))
    first = guided.loss(model, found, images, labels)[0]
    assert len(calls) == 1
    assert torch.equal(first, plain.loss(model, found, images, labels)[0])
    both = ready(model, forest, images)
    calls.clear()
    both.loss(model, found, images, labels)
    assert len(calls) == 3  # adversarial images once, clean ones once, the reference once


def test_gradients_are_those_of_differences_in_float64():
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(3, copies, 4, generator=generator, dtype=torch.float64) for copies in (2, 3)]

    def divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return mean_divergence(first.log_softmax(-1), second.log_softmax(-1))

    assert torch.autograd.gradcheck(divergence, [one.requires_grad_() for one in logits])


def test_under_noises_predictions_are_averaged_before_the_divergence(model, forest, batch, drift: Callable):
    images, labels = batch
    objective = ready(model, forest, images, guidance=Guidance(general=1.0, clean=0.0, shown="clean"))
    start = copy.deepcopy(model)
    drift(model)
    noise = 0.3 * torch.randn(3, *images.shape, generator=torch.Generator().manual_seed(1))
    noisy = NoisyModel(model, noise, torch.full((len(images),), 0.3))
    adversarial = objective.perturb(noisy, images, labels)
    _, logs = objective.loss(noisy, adversarial, images, labels)
    copies = [predictions(objective, model, model, adversarial.images + one) for one in noise]
    mean = {key: np.mean([one[key] for one in copies], axis=0) for key in copies[0]}
    original = predictions(objective, start, model, images)
    assert float(logs["general"]) == pytest.approx(expected(forest, mean, original), rel=1e-3)


@pytest.mark.parametrize("settings", [{"general": -1.0}, {"clean": float("nan")}, {"shown": "both"}])
def test_impossible_guidance_is_refused(settings):
    with pytest.raises(ValueError, match=f"of the guidance.*{next(iter(settings.values()))}"):
        Guidance(**settings)
