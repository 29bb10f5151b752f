"""Subspaces against projectors from singular vectors in NumPy, the objective against its terms from them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.objectives import Adversarial, Perturbed, SubspaceAlignmentObjective, TeCoAObjective
from hrvlm.objectives.settings import TextPerturbation
from hrvlm.objectives.subspaces import own_similarities, ridge_basis, similarities
from hrvlm.objectives.views import views
from hrvlm.trees import Forest

EPS = 8 / 255
ATTACK = {"threat_model": ThreatModel(eps=EPS), "ascent": Ascent(step_size=EPS / 2)}
UNPERTURBED = TextPerturbation(eps=0.0)


def projector(rows: np.ndarray, ridge: float) -> np.ndarray:
    """From the singular value decomposition, which the code does without."""
    _, sizes, right = np.linalg.svd(rows, full_matrices=False)
    return (right.T * (sizes**2 / (sizes**2 + ridge))) @ right


def likeness(first: np.ndarray, second: np.ndarray, ridge: float) -> float:
    p, q = projector(first, ridge), projector(second, ridge)
    return float(np.sqrt((p * q).sum() / np.sqrt((p * p).sum() * (q * q).sum())))


def unit(features: torch.Tensor) -> np.ndarray:
    array = features.detach().double().numpy()
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def groups(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("ridge", [1e-6, 0.1, 3.0])
def test_likeness_is_that_of_projectors_from_singular_vectors(ridge: float) -> None:
    first, second = groups(0, 4, 3, 7), groups(1, 5, 2, 7)
    bases = ridge_basis(first, ridge), ridge_basis(second, ridge)
    torch.testing.assert_close(
        bases[0].mT @ bases[0], torch.tensor(np.stack([projector(g, ridge) for g in first.numpy()]))
    )
    expected = [[likeness(a, b, ridge) for b in second.numpy()] for a in first.numpy()]
    torch.testing.assert_close(similarities(*bases), torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(
        own_similarities(bases[0], bases[1][:4]), similarities(bases[0], bases[1][:4]).diagonal()
    )


def test_likeness_has_known_values() -> None:
    """1 of a span with itself, whatever its basis; |cosine| of single features; cosines of principal angles else."""
    plane = groups(2, 1, 2, 6)
    other_basis = F.normalize(torch.tensor([[2.0, 1.0], [-1.0, 4.0]], dtype=torch.float64) @ plane, dim=-1)
    spans = ridge_basis(plane, 1e-9), ridge_basis(other_basis, 1e-9)
    assert float(own_similarities(*spans)) == pytest.approx(1.0, abs=1e-6)
    first, second = groups(3, 1, 1, 6), groups(4, 1, 1, 6)
    cosine = float((first * second).sum().abs())
    assert float(similarities(ridge_basis(first, 0.4), ridge_basis(second, 0.4))) == pytest.approx(cosine)
    third = groups(5, 1, 2, 6)
    bases = [np.linalg.qr(part[0].numpy().T)[0] for part in (plane, third)]
    angles = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)  # cosines of them
    found = own_similarities(spans[0], ridge_basis(third, 1e-9))
    assert float(found) == pytest.approx(float(np.sqrt((angles**2).mean())), rel=1e-5)


def test_gradients_are_right_in_double_precision_and_finite_for_equal_and_zero_features() -> None:
    first, second = groups(6, 2, 3, 5).requires_grad_(), groups(7, 3, 2, 5).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: similarities(ridge_basis(a, 0.1), ridge_basis(b, 0.1)), (first, second)
    )
    same = groups(8, 2, 1, 5).float().repeat(1, 3, 1)
    same[1, 2] = 0.0
    same.requires_grad_()
    own_similarities(ridge_basis(same, 0.1), ridge_basis(same, 0.1)).sum().backward()
    assert same.grad is not None
    assert bool(same.grad.isfinite().all())


def ready(model, forest: Forest, **settings) -> SubspaceAlignmentObjective:
    objective = SubspaceAlignmentObjective(**(ATTACK | settings))
    objective.bind(forest)
    objective.prepare(model)
    return objective


def test_loss_is_the_sum_of_both_alignments(model, forest, batch, drift: Callable) -> None:
    images, labels = batch
    templates = ("an image of a {}", "{}")
    objective = ready(model, forest, clean_weight=0.7, templates=templates, ridge=0.2)
    start = copy.deepcopy(model)
    drift(model)
    adversarial = objective.perturb(model, images, labels)
    part = adversarial.parts[0]
    assert part.text_delta is not None
    assert part.text_delta.shape == (6, 3, 8)
    assert float(part.text_delta.abs().max()) == pytest.approx(2e-4)
    loss, logs = objective.loss(model, adversarial, images, labels)
    prompts = [
        [own, f"an image of a {name}", name] for own, name in zip(forest[0].prompts(0), forest.leaves, strict=True)
    ]
    texts = unit(torch.stack([model.project_text(model.text_hidden(of)) for of in prompts]) + part.text_delta)
    shown = [part.images, part.images.flip(-1), views(part.images, ["enlarged"])[:, 1]]
    attacked = unit(torch.stack([model.encode_image(view) for view in shown], dim=1))
    shown = [images, images.flip(-1), views(images, ["enlarged"])[:, 1]]
    clean = unit(torch.stack([start.encode_image(view) for view in shown], dim=1))
    total = 0.0
    for own, original, label in zip(attacked, clean, labels.tolist(), strict=True):
        logits = np.exp(3.0) * np.array([likeness(own, text, 0.2) for text in texts])
        total += np.log(np.exp(logits).sum()) - logits[label] + 0.7 * (1.0 - likeness(own, original, 0.2))
    assert float(loss.detach()) == pytest.approx(total / len(labels), rel=1e-4)
    assert float(logs["clean"]) > 1e-3


def test_one_view_and_one_prompt_give_tecoa_where_cosines_are_positive(model, forest, batch) -> None:
    images, labels = batch
    with torch.no_grad():  # all features near one direction, so that all cosines are positive
        model.text_projection.weight.mul_(0.02)
        model.text_projection.weight.add_(1.0)
        model.text_hidden = lambda texts: torch.rand(len(texts), 10, generator=torch.Generator().manual_seed(0)) + 1.0
        model.image[7].weight.mul_(0.1)
        model.image[7].bias.fill_(1.0)
    objective = ready(model, forest, image_views=(), templates=(), clean_weight=0.0, text_perturbation=UNPERTURBED)
    flat = TeCoAObjective(**ATTACK)
    flat.bind(forest)
    flat.prepare(model)
    adversarial = flat.perturb(model, images, labels)
    expected, _ = flat.loss(model, adversarial, images, labels)
    loss, _ = objective.loss(model, adversarial, images, labels)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    loss.backward()
    assert model.text_projection.weight.grad is None


def test_the_perturbation_raises_the_loss_and_keeps_its_budget(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(model, forest)
    adversarial = objective.perturb(model, images, labels, torch.Generator().manual_seed(0))
    ThreatModel(eps=EPS).check(adversarial.images, images)
    before, _ = objective.loss(model, Adversarial((Perturbed(images),)), images, labels)
    after, _ = objective.loss(model, adversarial, images, labels)
    assert after > before + 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clean_weight": -1.0}, "expected clean_weight >= 0, got -1.0"),
        ({"ridge": 0.0}, "expected ridge > 0, got 0.0"),
        ({"image_views": ["rotated"]}, "expected different views of mirrored, enlarged, darkened"),
        ({"image_views": ["mirrored", "mirrored"]}, "expected different views"),
        ({"templates": ["a photo"]}, r"expected templates with one \{\} each"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SubspaceAlignmentObjective(**settings)
