"""The vectorised loss against slow loops over images and nodes, written from the formulae; gradients included."""

from __future__ import annotations

import math

import pytest
import torch
from short_settings import made
from sweeps import sweep
from torch import Tensor

from hrvlm.models.heads import PoincareHead
from hrvlm.objectives import HierarchicalObjective
from hrvlm.objectives.hierarchical import level_means, level_weights, masked_loss, norm_order, vicinity
from hrvlm.trees import ClassTree, Forest

CURV, TAU, ZETA_VICINITY, ZETA_GAP = 1.0, 0.12, 0.8, 0.05


def slow_distance(u: Tensor, v: Tensor) -> Tensor:
    gap = CURV * (u - v).square().sum()
    return torch.arccosh(1 + 2 * gap / ((1 - CURV * u.square().sum()) * (1 - CURV * v.square().sum()))) / math.sqrt(
        CURV
    )


def slow_average(points: list[Tensor]) -> Tensor:
    total, weight = torch.zeros_like(points[0]), torch.zeros((), dtype=points[0].dtype)
    for u in points:
        klein = 2 * u / (1 + CURV * u.square().sum())
        gamma = 1 / (1 - CURV * klein.square().sum()).sqrt()
        total, weight = total + gamma * klein, weight + gamma
    mean = total / weight
    return mean / (1 + (1 - CURV * mean.square().sum()).sqrt())


def slow_terms(  # noqa: C901 (one place to read the whole method)
    images: Tensor, labels: list[int], texts: dict[tuple[int, str], Tensor], tree: ClassTree, hnsa: str, share: float
):
    """Per level: mean cross-entropy; hinges of vicinity and norm order. Plain loops."""
    rows = tree.rows
    top = len(rows) - 1
    parent = {(h, rows[h][k]): rows[h + 1][k] for h in range(top) for k in range(len(rows[0]))}
    members: list[dict[str, Tensor]] = [{}]
    for node in set(tree.leaves[k] for k in labels):
        members[0][node] = slow_average([x for x, k in zip(images, labels, strict=True) if tree.leaves[k] == node])
    for level in range(1, top + 1):
        groups: dict[str, list[Tensor]] = {}
        for node, point in members[-1].items():
            groups.setdefault(parent[level - 1, node], []).append(point)
        members.append({node: slow_average(points) for node, points in groups.items()})

    def cross_entropy(point: Tensor, level: int, node: str) -> Tensor:
        rivals = [other for other in texts if other[0] == level]
        for other in texts:
            up = other[0] == level + 1 and parent[level, node] != other[1] and hnsa in ("both", "up")
            down = other[0] == level - 1 and parent[other] != node and hnsa in ("both", "down")
            if up or down:
                rivals.append(other)
        scores = torch.stack([-slow_distance(point, texts[other]) / TAU for other in rivals])
        return -torch.log_softmax(scores, 0)[rivals.index((level, node))]

    hita = [torch.stack([cross_entropy(x, 0, tree.leaves[k]) for x, k in zip(images, labels, strict=True)]).mean()]
    for level in range(1, top + 1):
        averages = torch.stack([cross_entropy(point, level, node) for node, point in members[level].items()]).mean()
        own = [cross_entropy(x, level, rows[level][k]) for x, k in zip(images, labels, strict=True)]
        hita.append((1 - share) * averages + share * torch.stack(own).mean())
    zero = torch.zeros((), dtype=images.dtype)
    near = [slow_distance(x, texts[0, tree.leaves[k]]) - ZETA_VICINITY for x, k in zip(images, labels, strict=True)]
    order_image = []
    for level in range(top):
        if level == 0:
            pairs = [(x, members[1][parent[0, tree.leaves[k]]]) for x, k in zip(images, labels, strict=True)]
        else:
            pairs = [(point, members[level + 1][parent[level, node]]) for node, point in members[level].items()]
        order_image.append(torch.stack([torch.maximum(zero, p.norm() - x.norm() + ZETA_GAP) for x, p in pairs]).mean())
    order_text = []
    for level in range(top):
        hinges = [torch.maximum(zero, texts[level + 1, parent[level, n]].norm() - texts[level, n].norm() + ZETA_GAP)
                  for n in tree.levels[level].ids]  # fmt: skip
        order_text.append(torch.stack(hinges).mean())
    return hita, torch.stack([torch.maximum(zero, d) for d in near]).mean(), order_image, order_text


def slow_loss(objective: HierarchicalObjective, model, points: Tensor, labels: list[int], forest: Forest) -> Tensor:
    total = torch.zeros((), dtype=points.dtype)
    for tree in forest:
        table = {}
        for level in tree.levels:
            for node, prompt in zip(level.ids, tree.prompts(level.index), strict=True):
                feature = model.project_text(model.text_hidden([prompt]))
                table[level.index, node] = objective.head.lift_text(feature, level.index)[0]
        hita, near, order_image, order_text = slow_terms(
            points, labels, table, tree, objective.hnsa, objective.image_share
        )
        count = len(hita)
        total = total + sum((1 - level / count) * term for level, term in enumerate(hita))
        total = (
            total
            + objective.weights.vicinity * near
            + objective.weights.order_image * (sum(order_image) + sum(order_text))
        )
    return total


@pytest.mark.parametrize("labels", [[0, 1, 0, 3, 5, 0, 3], [4], [5, 2]])
@pytest.mark.parametrize("hnsa", sweep(["both", "up", "down", "none"], quick=["both"]))
@pytest.mark.parametrize(("vicinity", "order", "share"), [(0.5, 1.0, 0.0), (0.0, 0.0, 0.3), (0.5, 1.0, 1.0)])
def test_loss_and_gradients_equal_the_slow_loops(labels, hnsa, vicinity, order, share, model, forest) -> None:
    model = model.double()
    objective = made(
        HierarchicalObjective, curv=CURV, temperature=TAU, hnsa=hnsa, lambda_vicinity=vicinity, lambda_order=order,
        zeta_vicinity=ZETA_VICINITY, zeta_gap=ZETA_GAP, steps=0, image_share=share,
    )  # fmt: skip
    objective.bind(forest)
    images = torch.rand(len(labels), 3, 12, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    objective.prepare(model, images)
    objective.head.double()
    targets = torch.tensor(labels)
    loss, logs = objective.loss(model, objective.perturb(model, images, targets), images, targets)
    parameters = [p for p in (*model.parameters(), *objective.parameters()) if p is not model.log_scale]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)

    points = objective.head.lift_image(model.encode_image(images))
    expected = slow_loss(objective, model, points, labels, forest)
    wanted = torch.autograd.grad(
        expected, [p for p in parameters if p is not objective.head.log_temperature], allow_unused=True
    )
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    kept = [g for g, p in zip(gradients, parameters, strict=True) if p is not objective.head.log_temperature]
    assert len(kept) == len(wanted)
    for got, reference in zip(kept, wanted, strict=True):
        assert (got is None) == (reference is None)
        if got is not None:
            torch.testing.assert_close(got, reference, rtol=1e-4, atol=1e-5)
    assert float(logs["loss"]) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_temperature_gradient_matches_a_finite_difference(model, forest, batch) -> None:
    images, labels = batch
    objective = made(HierarchicalObjective, steps=0)
    objective.bind(forest)
    objective.prepare(model, images)
    adversarial = objective.perturb(model, images, labels)
    loss, _ = objective.loss(model, adversarial, images, labels)
    (slope,) = torch.autograd.grad(loss, objective.head.log_temperature)
    values = []
    for step in (1e-3, -1e-3):
        with torch.no_grad():
            objective.head.log_temperature.add_(step)
            values.append(objective.loss(model, adversarial, images, labels)[0])
            objective.head.log_temperature.sub_(step)
    assert float(slope) == pytest.approx(float(values[0] - values[1]) / 2e-3, rel=1e-2)


def test_level_weights_fall_from_one_to_one_over_the_number_of_levels() -> None:
    torch.testing.assert_close(level_weights(6), torch.tensor([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]))
    assert level_weights(1).tolist() == [1.0]


def test_cross_entropy_sees_candidates_only_and_has_finite_gradients() -> None:
    logits = torch.tensor([[-4001.0, -4000.0, 500.0], [0.0, 0.0, 0.0]], requires_grad=True)
    candidates = torch.tensor([[True, True, False], [False, True, False]])
    loss = masked_loss(logits[:, None], torch.tensor([0, 1]), candidates)
    torch.testing.assert_close(loss, torch.tensor([math.log(1 + math.e), 0.0]), rtol=1e-3, atol=0)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.isfinite().all()
    assert gradient[0, 2] == 0


def test_hinges_are_zero_where_the_geometry_is_as_wanted() -> None:
    values = torch.tensor([0.2, 1.0, 1.5])
    torch.testing.assert_close(vicinity(values, 1.0), torch.tensor([0.0, 0.0, 0.5]))
    torch.testing.assert_close(norm_order(torch.tensor([0.9, 0.5, 0.4]), torch.tensor([0.5, 0.5, 0.5]), 0.05),
                               torch.tensor([0.0, 0.05, 0.15]))  # fmt: skip


def test_level_means_of_an_empty_level_is_zero() -> None:
    means = level_means(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2]), 3)
    assert means.tolist() == [2.0, 0.0, 5.0]


def test_extreme_features_give_finite_loss_and_gradients(forest, batch) -> None:
    _, labels = batch
    head_of = made(HierarchicalObjective, steps=0, image_scale=1.0, text_scales=[1.0, 0.8, 0.6])
    head_of.bind(forest)
    assert isinstance(head_of.head, PoincareHead)

    class Extreme(torch.nn.Module):
        """Features that are zero, huge, and equal to a text."""

        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Parameter(torch.zeros(7, 4))
            self.texts = torch.nn.Parameter(torch.zeros(len(head_of.prompts()), 4))
            with torch.no_grad():
                self.features[1], self.features[2], self.texts[3] = 1e6, -1e-6, 1e6

        def encode_image(self, images: Tensor) -> Tensor:
            return self.features + 0 * images.sum()

        def text_hidden(self, texts: list[str]) -> Tensor:
            return torch.eye(len(texts))

        def project_text(self, hidden: Tensor) -> Tensor:
            return hidden @ self.texts

    model = Extreme()
    head_of.prepare(model)
    images = torch.rand(7, 3, 2, 2)
    loss, _ = head_of.loss(model, head_of.perturb(model, images, labels), images, labels)
    gradients = torch.autograd.grad(loss, [*model.parameters(), *head_of.parameters()])
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_averages_without_a_part_in_the_alignment_are_not_scored(share, model, forest, monkeypatch) -> None:
    objective = made(HierarchicalObjective, image_share=share, steps=2)
    objective.bind(forest)
    images, labels = torch.rand(7, 3, 12, 12), torch.tensor([0, 1, 0, 3, 5, 0, 3])
    objective.prepare(model, images)
    scored, logits = [], objective.head.logits

    def noted(rows: Tensor, texts: Tensor) -> Tensor:
        scored.append(len(rows))
        return logits(rows, texts)

    monkeypatch.setattr(objective.head, "logits", noted)
    objective.loss(model, objective.perturb(model, images, labels), images, labels)
    assert len(scored) >= 3 * len(forest)  # two steps and the loss
    assert (set(scored) == {7}) == (share == 1.0)
