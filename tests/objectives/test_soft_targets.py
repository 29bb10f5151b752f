"""Soft targets against walks up the tree by hand, their loss against probabilities, and where objectives use them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hrvlm.attacks import Ascent
from hrvlm.objectives import (
    Adversarial,
    CleanObjective,
    HierarchicalObjective,
    Perturbed,
    PMGAFTObjective,
    TeCoAObjective,
)
from hrvlm.objectives.groups import TreeTable
from hrvlm.objectives.hierarchical import hita_terms
from hrvlm.objectives.settings import HeadSettings, LossWeights
from hrvlm.objectives.soft_targets import SoftTargets, leaf_targets, level_targets, soft_cross_entropy, tree_targets

SOFT = SoftTargets(smoothing=0.3, decay=0.25)


def by_hand(tree, level: int, soft: SoftTargets) -> list[list[float]]:
    """Probabilities by climbing from both nodes until the ids are the same; beyond the top all meet."""
    ids = tree.levels[level].ids
    columns = [next(row for row in zip(*tree.rows, strict=True) if row[level] == name) for name in ids]
    found = []
    for own in columns:
        parts = []
        for other in columns:
            height = next((up for up in range(len(own) - level) if own[level + up] == other[level + up]), None)
            parts.append(soft.decay ** (len(own) - level if height is None else height) if own != other else 0.0)
        total = sum(parts)
        found.append(
            [
                1 - soft.smoothing if other == own else soft.smoothing * part / total
                for other, part in zip(columns, parts, strict=True)
            ]
        )
    return found


@pytest.mark.parametrize("name", ["deep_tree", "flat_tree"])
def test_probabilities_fall_with_the_height_of_the_common_ancestor(name: str, request) -> None:
    tree = request.getfixturevalue(name)
    for level in range(len(tree.levels)):
        found = level_targets(tree, level, SOFT)
        torch.testing.assert_close(found, torch.tensor(by_hand(tree, level, SOFT)))
    blocks = tree_targets(tree, SOFT)
    torch.testing.assert_close(blocks.sum(dim=1), torch.ones(len(blocks)))
    same_level = torch.block_diag(*(torch.ones(len(level.ids), len(level.ids)) for level in tree.levels)).bool()
    assert (blocks > 0).equal(same_level)


def test_siblings_get_more_than_strangers_and_a_decay_of_one_treats_all_alike(deep_tree) -> None:
    ant, bee, cat, dog, *plants = level_targets(deep_tree, 0, SOFT)[0].tolist()
    assert ant == pytest.approx(0.7)
    assert bee > cat == dog > plants[0] == plants[1] > 0
    plain = level_targets(deep_tree, 0, SoftTargets(smoothing=0.3, decay=1.0))
    smoothed = F.one_hot(torch.arange(6), 6) * 0.7 + 0.3 / 5 * (1 - torch.eye(6))
    torch.testing.assert_close(plain, smoothed)


def test_the_loss_is_that_of_probabilities_and_has_gradients_beside_columns_left_out(deep_tree) -> None:
    probabilities = level_targets(deep_tree, 0, SOFT).double()
    scores = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([0, 3, 3, 5])
    expected = F.cross_entropy(scores, probabilities[targets], reduction="none")
    torch.testing.assert_close(soft_cross_entropy(scores, targets, probabilities), expected)
    wide = F.pad(probabilities, (0, 2))

    def loss(values: torch.Tensor) -> torch.Tensor:
        hidden = torch.cat([values, torch.full((4, 1), -torch.inf).double(), values[:, :1] + 1], dim=1)
        return soft_cross_entropy(hidden, targets, wide)

    assert torch.autograd.gradcheck(loss, (scores.requires_grad_(),))


def test_every_level_is_aligned_with_its_soft_targets(deep_tree, model, forest, batch) -> None:
    images, labels = batch
    weights = LossWeights(soft_targets=SOFT, order=0.0, vicinity=0.0, image_share=1.0)
    objective = HierarchicalObjective(head=HeadSettings(kind="cosine"), weights=weights, hnsa="both")
    objective.bind(forest)
    objective.prepare(model, images)
    _, logs = objective.loss(model, Adversarial((Perturbed(images),)), images, labels)
    points = F.normalize(model.encode_image(images), dim=-1)
    texts = F.normalize(model.project_text(model.text_hidden(objective.prompts())), dim=-1)
    losses = [[], [], []]
    for table, tree in zip(objective.tables, forest, strict=True):
        scores = model.logit_scale * points @ texts[table.columns].T
        for level in range(table.num_levels):
            rows = []
            for row, label in zip(scores, labels.tolist(), strict=True):
                target = table.offsets[level] + int(tree.ancestors[level, label])
                chosen = table.candidates[target]
                log_probabilities = row[chosen].log_softmax(0)
                rows.append(-(tree_targets(tree, SOFT)[target][chosen] * log_probabilities).sum())
            losses[level].append(torch.stack(rows).mean())
    for level, values in enumerate(losses):
        torch.testing.assert_close(logs[f"hita_level_{level}"], torch.stack(values).mean().detach())


def test_no_smoothing_is_the_plain_loss(deep_tree) -> None:
    nodes = sum(len(level.ids) for level in deep_tree.levels)
    tables = [TreeTable(deep_tree, "both", torch.arange(nodes), soft) for soft in (None, SoftTargets(smoothing=0.0))]
    scores, targets = torch.randn(nodes, nodes, generator=torch.Generator().manual_seed(1)), torch.arange(nodes)
    masked = torch.where(tables[0].candidates, scores, -torch.inf)
    plain, soft = (table.row_loss()(masked, targets) for table in tables)
    torch.testing.assert_close(soft, plain)
    assert hita_terms.__kwdefaults__["loss"] is tables[0].row_loss()


@pytest.mark.parametrize("kind", [TeCoAObjective, CleanObjective, PMGAFTObjective])
def test_flat_objectives_take_the_mean_over_the_trees(kind, model, forest, batch) -> None:
    images, labels = batch
    objectives = [kind(soft_targets=soft) for soft in (SOFT, None)]
    for objective in objectives:
        objective.bind(forest)
        objective.prepare(model, images)
    soft, hard = (o.loss(model, Adversarial((Perturbed(images),)), images, labels) for o in objectives)
    points = F.normalize(model.encode_image(images), dim=-1)
    texts = F.normalize(model.project_text(model.text_hidden(forest[0].prompts(0))), dim=-1)
    mean = (level_targets(forest[0], 0, SOFT) + level_targets(forest[1], 0, SOFT)) / 2
    torch.testing.assert_close(leaf_targets(forest, SOFT), mean)
    expected = F.cross_entropy(model.logit_scale * points @ texts.T, mean[labels])
    torch.testing.assert_close(soft[1].get("robust", soft[1]["loss"]), expected.detach())
    assert not torch.equal(soft[0], hard[0])
    assert not any("targets" in name for name in objectives[0].state_dict())
    if kind is not CleanObjective:  # what is ascended keeps hard targets
        found = [objective.perturb(model, images, labels).images for objective in objectives]
        assert torch.equal(*found)


@pytest.mark.parametrize(("name", "value"), [("smoothing", 1.0), ("smoothing", -0.1), ("decay", 0.0), ("decay", 1.5)])
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"expected {name} in .* of soft targets, got {value}"):
        SoftTargets(**{name: value})


def test_the_perturbation_of_levels_keeps_hard_targets(model, forest, batch) -> None:
    images, labels = batch
    found = []
    for soft in (SOFT, None):
        objective = HierarchicalObjective(weights=LossWeights(soft_targets=soft), ascent=Ascent(steps=1))
        objective.bind(forest)
        objective.prepare(model, images)
        found.append(objective.perturb(model, images, labels).images)
    assert torch.equal(*found)
