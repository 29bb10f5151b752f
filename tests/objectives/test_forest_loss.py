"""The loss of a forest, taken tree by tree, against the terms of its trees kept as one graph."""

from __future__ import annotations

import pytest
import torch
from short_settings import made
from torch import Tensor

from hrvlm.models.heads import PoincareHead
from hrvlm.objectives import HierarchicalObjective
from hrvlm.objectives.forest_loss import ForestBatch
from hrvlm.objectives.groups import group_batch, group_points
from hrvlm.objectives.hierarchical import hita_terms, tree_terms
from hrvlm.objectives.weighing import TermWeights
from hrvlm.trees import Forest

WEIGHTS = TermWeights(vicinity=0.5, order_image=0.7, order_text=0.3)
ZETAS = {"zeta_vicinity": 0.4, "zeta_gap": 0.9}
Inputs = tuple[Tensor, Tensor, Tensor]


@pytest.fixture
def objective(forest: Forest) -> HierarchicalObjective:
    objective = made(HierarchicalObjective, image_scale=1.1, text_scales=[1.2, 0.8, 0.6])
    objective.bind(forest)
    return objective


@pytest.fixture
def inputs(objective: HierarchicalObjective) -> Inputs:
    """Points of five images, of all nodes, and of a pool of nine images that begins with the five."""
    generator = torch.Generator().manual_seed(2)
    nodes = len(objective.node_levels)
    draws = (torch.randn(count, 8, generator=generator) for count in (5, nodes, 4))
    points, texts, others = (0.5 * torch.tanh(x / 2) for x in draws)
    return points.requires_grad_(), texts.requires_grad_(), others.requires_grad_()


LABELS, POOL = torch.tensor([0, 1, 0, 3, 5]), torch.tensor([0, 1, 0, 3, 5, 2, 2, 4, 0])


def forest_batch(objective: HierarchicalObjective, inputs: Inputs, pooled: bool) -> ForestBatch:
    points, texts, others = inputs
    tables = objective._tables()
    groups = [group_batch(table, LABELS, POOL if pooled else None) for table in tables]
    pool = torch.cat([points, others]) if pooled else points
    return ForestBatch(objective.head, tables, groups, points, texts, pool)


def compare(found: Tensor, expected: Tensor, sources: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    wanted = torch.autograd.grad(expected, sources, allow_unused=True)
    for gradient, reference in zip(torch.autograd.grad(found, sources, allow_unused=True), wanted, strict=True):
        assert (gradient is None) == (reference is None)
        if reference is not None and gradient is not None:
            assert reference.abs().max() > 0
            torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("level", [None, 0, 1, 2])
def test_the_loss_is_the_sum_over_the_trees_with_all_gradients(
    objective: HierarchicalObjective, inputs: Inputs, level: int | None, pooled: bool
) -> None:
    batch = forest_batch(objective, inputs, pooled)
    found, logs = batch.loss(WEIGHTS, level, **ZETAS)
    assert len(logs) == 2
    trees = [
        tree_terms(batch.points, batch.texts[table.columns], batch.head, group, table, **ZETAS, pool=batch.pool)
        for table, group in zip(batch.tables, batch.groups, strict=True)
    ]
    expected = torch.stack([WEIGHTS.total(terms, level) for terms in trees]).sum()
    assert isinstance(batch.head, PoincareHead)
    compare(found, expected, [*inputs[: 3 if pooled else 2], batch.head.log_temperature])
    for log, terms in zip(logs, trees, strict=True):
        shown = {f"hita_level_{place}": term.item() for place, term in enumerate(terms.hita) if level in (None, place)}
        assert {name: value.item() for name, value in log.items() if name in shown} == pytest.approx(shown)


@pytest.mark.parametrize("level", [None, 0, 1])
def test_what_a_perturbation_raises_is_alignment_alone(
    objective: HierarchicalObjective, inputs: Inputs, level: int | None
) -> None:
    batch = forest_batch(objective, inputs, pooled=False)

    def alignment(index: int) -> Tensor:
        table, group = batch.tables[index], batch.groups[index]
        rows = group_points(batch.head, batch.points, group)
        terms = hita_terms(rows, batch.texts[table.columns], batch.head, group, table)
        levels = torch.tensor([1 - place / len(terms) for place in range(len(terms))])
        return (levels * terms)[slice(None) if level is None else slice(level, level + 1)].sum()

    expected = alignment(0) + alignment(1)
    compare(batch.attacked_loss(WEIGHTS, level), expected, [*inputs[:2], *batch.head.parameters()])


def test_the_leaf_level_alone_heeds_the_hierarchy_aware_negatives(
    objective: HierarchicalObjective, inputs: Inputs
) -> None:
    """Texts of levels 0 and 1 are pushed by the leaf's alignment, those of level 2 are not."""
    batch = forest_batch(objective, inputs, pooled=False)
    gradient = torch.autograd.grad(batch.attacked_loss(WEIGHTS, 0), inputs[1])[0].norm(dim=-1)
    assert bool((gradient[objective.node_levels <= 1] > 0).all())
    assert bool((gradient[objective.node_levels == 2] == 0).all())
