"""Losses over several noises of a picture: against plain loops, against numerical gradients, and what they ask for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from short_settings import made
from torch import Tensor

from hrvlm.attacks.score_losses import cross_entropy, difference_of_logits_ratio
from hrvlm.models.heads import CosineHead
from hrvlm.objectives import (
    Adversarial,
    CleanObjective,
    Consistency,
    HierarchicalObjective,
    ImageTextContrastiveObjective,
    MaximizedRadius,
    NoiseTerms,
    NoisyModel,
    Perturbed,
    SmoothAdvObjective,
    TeCoAObjective,
    noisy_loss,
)
from hrvlm.objectives.forest_loss import ForestBatch
from hrvlm.objectives.groups import group_batch, group_points
from hrvlm.objectives.noise_terms import consistency, radius_shortfall
from hrvlm.objectives.smoothed_scores import smoothed_scores, summed_scores

COPIES = 3
EPS = 8 / 255


def noises(images: Tensor, copies: int = COPIES, sigma: float = 0.1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    sigmas = torch.full((len(images),), sigma)
    return sigma * torch.randn(copies, *images.shape, generator=generator), sigmas


def ready(objective: Any, model: Any, forest: Any, images: Tensor) -> Any:
    objective.bind(forest)
    objective.prepare(model, images)
    return objective


def logits_of(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


TARGETS = torch.tensor([1, 0, 3, 2])
CANDIDATES = torch.tensor([[1, 1, 0, 1, 0], [1, 0, 1, 1, 1], [0, 0, 0, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)
MEMBERS = torch.tensor([[0, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)


def softmax(row: list[float], candidates: list[bool]) -> list[float]:
    weights = [math.exp(score) if candidate else 0.0 for score, candidate in zip(row, candidates, strict=True)]
    return [weight / sum(weights) for weight in weights]


def test_cross_entropies_are_those_of_mean_probabilities_in_plain_loops() -> None:
    logits = logits_of(4, COPIES, 5)
    whole = [True] * 5
    for row, scores in enumerate(logits.tolist()):
        asked = CANDIDATES[row].tolist()
        own = sum(softmax(copy, asked)[TARGETS[row]] for copy in scores) / COPIES
        among = [
            share for copy in scores for share, in_it in zip(softmax(copy, whole), MEMBERS[row], strict=True) if in_it
        ]
        found = cross_entropy(smoothed_scores(logits, CANDIDATES), TARGETS)[row]
        assert float(found.detach()) == pytest.approx(-math.log(own))
        assert float(summed_scores(logits, MEMBERS)[row, row].detach()) == pytest.approx(math.log(sum(among) / COPIES))
    plain = F.cross_entropy(logits[:, 0], TARGETS, reduction="none")
    assert torch.equal(cross_entropy(smoothed_scores(logits[:, :1]), TARGETS), plain)


def test_terms_are_those_of_the_papers_in_plain_loops() -> None:
    logits = logits_of(4, COPIES, 5)
    divergence, entropy = consistency(logits.log_softmax(-1))
    shortfall = radius_shortfall(logits.log_softmax(-1), TARGETS, 1.5, 2.0)
    right = 0
    for row, scores in enumerate(logits.tolist()):
        each = [softmax(copy, [True] * 5) for copy in scores]
        mean = [sum(shares) / COPIES for shares in zip(*each, strict=True)]
        kl = sum(p * math.log(p / q) for copy in each for p, q in zip(mean, copy, strict=True)) / COPIES
        assert float(divergence[row].detach()) == pytest.approx(kl)
        assert float(entropy[row].detach()) == pytest.approx(-sum(p * math.log(p) for p in mean))
        sharp = [softmax([2.0 * score for score in copy], [True] * 5) for copy in scores]
        votes = [sum(shares) / COPIES for shares in zip(*sharp, strict=True)]
        own = votes.pop(int(TARGETS[row]))
        normal = torch.distributions.Normal(0.0, 1.0)
        radius = float(normal.icdf(torch.tensor(own)) - normal.icdf(torch.tensor(max(votes))))
        expected = max(0.0, 1.5 - radius) if own > max(votes) else 0.0
        assert float(shortfall[row].detach()) == pytest.approx(expected, abs=1e-6)
        right += own > max(votes)
    assert 0 < right < 4


def test_gradients_are_the_numerical_ones() -> None:
    logits = logits_of(4, COPIES, 5)
    check = torch.autograd.gradcheck
    assert check(lambda x: cross_entropy(smoothed_scores(x, CANDIDATES), TARGETS), logits)
    assert check(lambda x: difference_of_logits_ratio(smoothed_scores(x, CANDIDATES), TARGETS), logits)
    assert check(lambda x: summed_scores(x, MEMBERS), logits)
    assert check(lambda x: consistency(x.log_softmax(-1)), logits)
    assert check(lambda x: radius_shortfall(x.log_softmax(-1), TARGETS, 1.5, 2.0), logits)


def test_certain_answers_have_finite_radii_and_gradients() -> None:
    logits = torch.tensor([[[200.0, 0.0, -200.0]]]).requires_grad_()
    shortfall = radius_shortfall(logits.log_softmax(-1), torch.tensor([0]), 20.0, 16.0)
    assert bool(shortfall.isfinite().all())
    shortfall.sum().backward()
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_hierarchical_gradients_are_the_numerical_ones(share: float, forest) -> None:
    """Of all terms at every level, on points of two copies in double precision."""
    objective = made(HierarchicalObjective, image_scale=1.1, text_scales=[1.2, 0.8, 0.6])
    objective.bind(forest)
    generator = torch.Generator().manual_seed(3)
    shapes = ((4, 2, 5), (len(objective.node_levels), 5))
    points, texts = (
        (0.6 * torch.tanh(torch.randn(shape, generator=generator, dtype=torch.float64))).requires_grad_()
        for shape in shapes
    )
    groups = [group_batch(table, torch.tensor([0, 1, 3, 5])) for table in objective._tables()]

    def loss(points: Tensor, texts: Tensor) -> Tensor:
        batch = ForestBatch(objective.head, objective._tables(), groups, points, texts, points, (0.4, share))
        return batch.loss(objective.weights, None, zeta_vicinity=0.3, zeta_gap=0.05)[0]

    assert torch.autograd.gradcheck(loss, (points, texts), fast_mode=True)


@pytest.mark.parametrize(("image_share", "leaf_sum_share"), [(0.0, 0.0), (0.6, 0.0), (0.6, 0.7), (1.0, 1.0)])
def test_hierarchical_loss_is_that_of_mean_probabilities(
    image_share: float, leaf_sum_share: float, model, forest, batch
) -> None:
    """In Euclidean space, by loops over trees, levels, rows and copies."""
    images, labels = batch
    shares = {"image_share": image_share, "leaf_sum_share": leaf_sum_share}
    weights = {"order": 0.0, "vicinity": 0.3, **shares}
    objective = made(HierarchicalObjective, head="cosine", weights=weights, zeta_vicinity=0.2)
    ready(objective, model, forest, images)
    noisy = NoisyModel(model, *noises(images))
    found, _ = objective.loss(noisy, Adversarial((Perturbed(images),)), images, labels)
    copies = [F.normalize(model.encode_image(images + noise), dim=-1) for noise in noisy.noise]
    texts = F.normalize(model.project_text(model.text_hidden(objective.prompts())), dim=-1)

    def loss_of(points: list[Tensor], target: int, level: int, table: Any, own: Tensor) -> Tensor:
        """Of one picture or average, of which there is a point for each copy."""
        rivals = table.candidates[target].nonzero()[:, 0].tolist()
        scores = [model.logit_scale * own @ point for point in points]
        texts_say = torch.stack([score[rivals].softmax(0)[rivals.index(target)] for score in scores]).mean()
        under = [
            leaf for leaf in range(table.sizes[0]) if table.offsets[level] + int(table.ancestors[level, leaf]) == target
        ]
        leaves_say = torch.stack([score[: table.sizes[0]].softmax(0)[under].sum() for score in scores]).mean()
        mixed = -(1 - leaf_sum_share) * texts_say.log() - leaf_sum_share * leaves_say.log()
        return mixed if level else -texts_say.log()

    expected = torch.zeros(())
    for table in objective.tables:
        groups = group_batch(table, labels)  # tested on their own
        rows = [group_points(objective.head, points, groups) for points in copies]
        own = texts[table.columns]
        for level in range(table.num_levels):
            mine = (groups.row_level == level).nonzero()[:, 0].tolist()
            averages = [
                loss_of([part[row] for part in rows], int(groups.targets[row]), level, table, own) for row in mine
            ]
            mean = torch.stack(averages).mean()
            if level:
                targets = table.offsets[level] + table.ancestors[level, labels]
                singles = [
                    loss_of([part[row] for part in copies], int(target), level, table, own)
                    for row, target in enumerate(targets)
                ]
                mean = (1 - image_share) * mean + image_share * torch.stack(singles).mean()
            expected = expected + (1 - level / table.num_levels) * mean
        near = torch.stack([(0.8 - (points * texts[labels]).sum(-1)).clamp_min(0).mean() for points in copies])
        expected = expected + 0.3 * near.mean()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_one_noise_is_the_plain_method_on_noisy_pictures_to_the_last_bit(model, forest, batch) -> None:
    images, labels = batch
    attack = {"eps": EPS, "step_size": EPS / 2, "steps": 2}
    objective = ready(made(HierarchicalObjective, **attack), model, forest, images)
    noise, sigmas = noises(images, copies=1)
    results = []
    for shown, pixels in ((NoisyModel(model, noise, sigmas), images), (model, images + noise[0])):
        loss, _ = objective.loss(shown, Adversarial((Perturbed(pixels),)), images, labels)
        results.append((loss, torch.autograd.grad(loss, list(model.image.parameters()))))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(*pair) for pair in zip(results[0][1], results[1][1], strict=True))
    silent = NoisyModel(model, 0 * noise, sigmas)
    assert torch.equal(
        objective.perturb(silent, images, labels).images, objective.perturb(model, images, labels).images
    )
    flat = [ready(made(kind, **attack), model, forest, images) for kind in (TeCoAObjective, SmoothAdvObjective)]
    noisy = NoisyModel(model, noise, sigmas)
    found = [method.perturb(noisy, images, labels) for method in flat]
    assert torch.equal(found[0].images, found[1].images)
    losses = [method.loss(noisy, found[0], images, labels)[0] for method in flat]
    torch.testing.assert_close(*losses)  # means are summed in another order


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", [HierarchicalObjective, SmoothAdvObjective])
def test_one_perturbation_within_its_budget_raises_the_loss_under_all_noises(
    kind: Any, norm: str, make_model, forest, batch
) -> None:
    images, labels = batch
    eps = EPS if norm == "linf" else 0.5
    gains = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = make_model()
        objective = ready(made(kind, norm=norm, eps=eps, step_size=eps / 2, steps=4), model, forest, images)
        shown: list[int] = []
        model.image.register_forward_hook(lambda _, given, __: shown.append(len(given[0])))  # noqa: B023
        noise, sigmas = noises(images)
        noisy = NoisyModel(model, noise, sigmas)
        found = objective.perturb(noisy, images, labels)
        assert shown == [COPIES * len(images)] * 4
        objective.threat_model.check(found.images, images)
        assert bool(((found.images >= 0) & (found.images <= 1)).all())
        if norm == "linf":  # x + δ is rounded once, to the nearest of numbers below 1
            assert bool(((found.images - images).abs() <= eps + 2**-25).all())
        through_one = objective.perturb(NoisyModel(model, noise[:1], sigmas), images, labels)
        losses = [
            objective.loss(noisy, Adversarial((Perturbed(part.images),)), images, labels)[0].detach()
            for part in (found, through_one, Adversarial((Perturbed(images),)))
        ]
        gains.append([float(losses[0] - other) for other in losses[1:]])
    over_one, over_clean = torch.tensor(gains).unbind(1)
    assert bool((over_clean > 0.05).all())
    assert float(over_one.mean()) > 0


def test_other_objectives_take_every_noise_for_a_picture_and_encode_it_once(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(made(TeCoAObjective, eps=EPS, step_size=EPS / 2, steps=2), model, forest, images)
    noisy = NoisyModel(model, *noises(images))
    adversarial = objective.perturb(noisy, images, labels)
    shown: list[int] = []
    model.image.register_forward_hook(lambda _, given, __: shown.append(len(given[0])))
    terms = NoiseTerms(
        consistency=Consistency(weight=2.0, entropy=0.3), radius=MaximizedRadius(inverse_temperature=1.0)
    )
    total, logs = noisy_loss(objective, noisy, adversarial, images, labels, terms)
    assert shown == [COPIES * len(images)]
    singles = [NoisyModel(model, noise[None], noisy.sigmas) for noise in noisy.noise]
    mean = torch.stack([objective.loss(one, adversarial, images, labels)[0] for one in singles]).mean()
    plain, _ = noisy_loss(objective, noisy, adversarial, images, labels)
    torch.testing.assert_close(plain, mean)
    texts = objective.leaf_points(model)
    points = [objective.head.lift_image(one.encode_image(adversarial.images)) for one in singles]
    scores = torch.stack([objective.head.logits(part, texts).log_softmax(-1) for part in points], dim=1)
    divergence, entropy = consistency(scores)
    short = radius_shortfall(scores, labels, 8.0, 1.0)
    expected = (2.0 * divergence + 0.3 * entropy + 12.0 * 0.05 * short).mean()
    torch.testing.assert_close(logs["noise_terms"], expected.detach())
    torch.testing.assert_close(total, mean + expected)
    assert torch.equal(logs["loss"], total.detach())


def test_a_term_on_a_single_noise_takes_no_pass_of_its_own(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(CleanObjective(), model, forest, images)
    noisy, adversarial = NoisyModel(model, *noises(images, copies=1)), Adversarial((Perturbed(images),))
    shown: list[int] = []
    model.image.register_forward_hook(lambda _, given, __: shown.append(len(given[0])))
    _, logs = noisy_loss(objective, noisy, adversarial, images, labels, NoiseTerms(radius=MaximizedRadius()))
    assert shown == [len(images)]
    assert "noise_terms" in logs


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_terms_of_the_hierarchical_objective_are_of_every_level_by_its_weight(
    share: float, model, forest, batch
) -> None:
    images, labels = batch
    objective = made(HierarchicalObjective, head="cosine", weights={"order": 0.0, "leaf_sum_share": share})
    ready(objective, model, forest, images)
    noisy, adversarial = NoisyModel(model, *noises(images)), Adversarial((Perturbed(images),))
    terms = NoiseTerms(consistency=Consistency(weight=1.0, entropy=0.0))
    total, logs = noisy_loss(objective, noisy, adversarial, images, labels, terms)
    alone, _ = objective.loss(noisy, adversarial, images, labels)
    copies = [F.normalize(model.encode_image(images + noise), dim=-1) for noise in noisy.noise]
    texts = F.normalize(model.project_text(model.text_hidden(objective.prompts())), dim=-1)
    expected = torch.zeros(())
    for table in objective.tables:
        own = texts[table.columns].split(table.sizes)
        for level in range(table.num_levels):
            answers = [(model.logit_scale * points @ own[level].T).softmax(-1) for points in copies]
            leaves = [(model.logit_scale * points @ own[0].T).softmax(-1) for points in copies]
            if level:
                under = F.one_hot(table.ancestors[level], table.sizes[level]).float()
                answers = [(1 - share) * a + share * b @ under for a, b in zip(answers, leaves, strict=True)]
            mean = torch.stack(answers).mean(0)
            kl = torch.stack([(mean * (mean / answer).log()).sum(-1) for answer in answers]).mean()
            expected = expected + (1 - level / table.num_levels) * kl
    torch.testing.assert_close(logs["noise_terms"], expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(total, alone + expected, rtol=1e-4, atol=1e-5)


def test_without_noise_the_loss_is_the_objectives_own(model, forest, batch) -> None:
    images, labels = batch
    objective = ready(CleanObjective(), model, forest, images)
    assert isinstance(objective.head, CosineHead)
    adversarial = objective.perturb(model, images, labels)
    found, logs = noisy_loss(objective, model, adversarial, images, labels)
    assert torch.equal(found, objective.loss(model, adversarial, images, labels)[0])
    assert "noise_terms" not in logs


@pytest.mark.parametrize("arguments", [{"weight": -1.0}, {"entropy": math.nan}, {"weight": math.inf}])
def test_weights_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"expected {next(iter(arguments))} >= 0 and finite of Consistency, got"):
        Consistency(**arguments)


def test_shares_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected leaf_sum_share in \[0, 1\], got 1.5"):
        made(HierarchicalObjective, weights={"leaf_sum_share": 1.5})


def test_a_term_on_classes_is_refused_where_there_are_none(model, forest, batch) -> None:
    images, _ = batch
    objective = ready(ImageTextContrastiveObjective(), model, forest, images)
    noisy, adversarial = NoisyModel(model, *noises(images)), Adversarial((Perturbed(images),))
    with pytest.raises(ValueError, match="expected no radius term with ImageTextContrastiveObjective"):
        noisy_loss(objective, noisy, adversarial, images, torch.rand(7, 8), NoiseTerms(radius=MaximizedRadius()))
