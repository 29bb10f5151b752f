"""Levels and trees that take turns, and the losses that the perturbation of all levels may raise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hrvlm.attacks import Ascent, ThreatModel
from hrvlm.attacks.randomness import PerImageGenerator
from hrvlm.objectives import FAREObjective, HierarchicalObjective, TeCoAObjective
from hrvlm.objectives.groups import group_batch, group_points
from hrvlm.objectives.settings import HeadSettings, LossWeights, TextPerturbation
from hrvlm.objectives.turns import Turn, drawn_start, turns

THREAT = ThreatModel(eps=8 / 255)


def ready(model, forest, images, **switches):
    objective = HierarchicalObjective(threat_model=THREAT, text_perturbation=TextPerturbation(eps=0.0), **switches)
    objective.bind(forest)
    objective.prepare(model, images)
    return objective


def test_levels_come_down_to_the_leaves_and_begin_elsewhere_with_another_start() -> None:
    def levels(steps: int, start: int) -> list[int | None]:
        found = turns(steps, [3, 2], alternate=True, trees_per_step=None, start=start)
        assert all(turn.trees == (0, 1) for turn in found)
        return [turn.level for turn in found]

    assert levels(3, 0) == [2, 1, 0]
    assert levels(5, 0) == [1, 0, 2, 1, 0]
    assert {tuple(levels(3, start)) for start in range(6)} == {(2, 1, 0), (0, 2, 1), (1, 0, 2)}
    assert turns(2, [3, 2], alternate=False, trees_per_step=None, start=7) == 2 * [Turn(None, (0, 1))]


@pytest.mark.parametrize(("count", "together"), [(1, 1), (2, 2), (9, 3)])
def test_trees_take_turns_in_groups_of_any_size(count: int, together: int) -> None:
    found = turns(6, [2, 2, 2], alternate=False, trees_per_step=count, start=1)
    assert all(len(turn.trees) == together for turn in found)
    drawn = [tree for turn in found for tree in turn.trees]
    assert {drawn.count(tree) for tree in range(3)} == {2 * together}


def test_a_turn_has_a_level_that_its_trees_have() -> None:
    for start in range(12):
        for turn in turns(4, [5, 2, 3], alternate=True, trees_per_step=1, start=start):
            assert turn.level is not None
            assert turn.level < [5, 2, 3][turn.trees[0]]
    pairs = {(turn.level, turn.trees) for start in range(12)
             for turn in turns(1, [2, 2], alternate=True, trees_per_step=1, start=start)}  # fmt: skip
    assert pairs == {(level, (tree,)) for level in range(2) for tree in range(2)}


def test_all_processes_draw_one_start_that_leaves_the_pictures_streams_alone() -> None:
    starts = [
        drawn_start(PerImageGenerator(seeds, batch_seed=batch)) for seeds, batch in (([1], 5), ([2, 3], 5), ([1], 6))
    ]
    assert starts[0] == starts[1] != starts[2]
    assert drawn_start(None) == 0
    generator, other = PerImageGenerator([4], batch_seed=5), PerImageGenerator([4], batch_seed=6)
    drawn_start(generator)
    images = torch.full((1, 3, 2, 2), 0.5)
    assert torch.equal(THREAT.random_start(images, generator), THREAT.random_start(images, other))


def test_every_start_has_a_turn_of_its_own(model, forest, batch) -> None:
    images, labels = batch
    ascent = Ascent(steps=2, starts=2, step_size=THREAT.eps / 2)
    objective = ready(model, forest, images, strategy="alternating", ascent=ascent)
    assert len(objective._turns(PerImageGenerator(range(7), batch_seed=1))) == 3
    found = objective.perturb(model, images, labels, PerImageGenerator(range(7), batch_seed=1)).images
    THREAT.check(found, images)
    assert not torch.equal(found, images)
    levels = [turn.level for turn in objective._turns(None)]
    assert levels == [1, 0]  # of an ascent from the pictures, which has one start


def test_each_step_raises_the_loss_of_its_turn_alone(model, forest, batch) -> None:
    """A step on one level of one tree is that of an objective with this tree only and no weight on other levels."""
    images, labels = batch
    ascent = {"steps": 1, "step_size": THREAT.eps}
    objective = ready(model, forest, images, strategy="alternating", ascent=Ascent(**ascent, trees_per_step=1))
    seen = set()
    for seed in range(8):
        (turn,) = objective._turns(PerImageGenerator(range(7), batch_seed=seed))
        if (turn.level, turn.trees) in seen:
            continue
        seen.add((turn.level, turn.trees))
        tree = forest[turn.trees[0]]
        only = LossWeights(levels=[float(level == turn.level) for level in range(len(tree.levels))])
        plain = ready(model, type(forest)([tree]), images, ascent=Ascent(**ascent), weights=only)
        with torch.no_grad():
            for mine, other in zip(plain.head.parameters(), objective.head.parameters(), strict=True):
                mine.copy_(other.flatten()[: mine.numel()].view_as(mine))
        found, expected = (
            part.perturb(model, images, labels, PerImageGenerator(range(7), batch_seed=seed)).images
            for part in (objective, plain)
        )
        assert torch.equal(found, expected)
    assert len(seen) >= 3


def margin_by_hand(row: torch.Tensor, target: int) -> torch.Tensor:
    return torch.cat([row[:target], row[target + 1 :]]).max() - row[target]


def ratio_by_hand(row: torch.Tensor, target: int) -> torch.Tensor:
    ordered = row.sort(descending=True).values
    return margin_by_hand(row, target) / (ordered[0] - ordered[2] if len(row) > 2 else 1.0)


@pytest.mark.parametrize(("name", "one"), [("margin", margin_by_hand), ("dlr", ratio_by_hand)])
def test_the_named_loss_is_raised_at_every_level(name: str, one, model, forest, batch) -> None:
    images, labels = batch
    ascent = Ascent(steps=1, step_size=THREAT.eps, random_start=False, loss=name)
    weights = LossWeights(order=0.0, vicinity=0.0)
    objective = ready(model, forest, images, head=HeadSettings(kind="cosine"), weights=weights, ascent=ascent)
    texts = F.normalize(model.project_text(model.text_hidden(objective.prompts())), dim=-1).detach()
    pixels = images.clone().requires_grad_()
    points, total = F.normalize(model.encode_image(pixels), dim=-1), torch.zeros(())
    for table in objective.tables:
        groups = group_batch(table, labels)  # tested on their own
        rows = model.logit_scale * group_points(objective.head, points, groups) @ texts[table.columns].T
        for level in range(table.num_levels):
            losses = []
            for row in (groups.row_level == level).nonzero()[:, 0].tolist():
                target = int(groups.targets[row])
                rivals = table.candidates[target].nonzero()[:, 0].tolist()
                losses.append(one(rows[row][rivals], rivals.index(target)))
            total = total + (1 - level / table.num_levels) * torch.stack(losses).mean()
    gradient = torch.autograd.grad(total, pixels)[0]
    expected = (images + THREAT.eps * gradient.sign()).clamp(0, 1)
    found = objective.perturb(model, images, labels).images
    sure = gradient.abs() > 1e-4 * gradient.abs().max()  # signs of the rest are rounding
    torch.testing.assert_close(found[sure], expected[sure])
    assert sure.float().mean() > 0.8  # the last row and column of pixels are not looked at by the tower


@pytest.mark.parametrize("name", ["margin", "dlr"])
def test_tecoa_raises_the_named_loss_of_the_leaves(name: str, model, forest, batch) -> None:
    images, labels = batch
    one = {"margin": margin_by_hand, "dlr": ratio_by_hand}[name]
    ascent = Ascent(steps=1, step_size=THREAT.eps, random_start=False, loss=name)
    objective = TeCoAObjective(threat_model=THREAT, ascent=ascent)
    objective.bind(forest)
    objective.prepare(model, images)
    texts = F.normalize(model.project_text(model.text_hidden(forest[0].prompts(0))), dim=-1).detach()
    pixels = images.clone().requires_grad_()
    scores = model.logit_scale * F.normalize(model.encode_image(pixels), dim=-1) @ texts.T
    total = torch.stack([one(row, label) for row, label in zip(scores, labels.tolist(), strict=True)]).sum()
    gradient = torch.autograd.grad(total, pixels)[0]
    sure = gradient.abs() > 1e-4 * gradient.abs().max()
    found = objective.perturb(model, images, labels).images
    torch.testing.assert_close(found[sure], (images + THREAT.eps * gradient.sign()).clamp(0, 1)[sure])


@pytest.mark.parametrize(
    ("kind", "switches", "message"),
    [
        (FAREObjective, {"ascent": Ascent(loss="margin")}, "expected no ascent.loss with FAREObjective, got 'margin'"),
        (TeCoAObjective, {"ascent": Ascent(trees_per_step=1)}, "expected no ascent.trees_per_step with TeCoAObjective"),
        (
            HierarchicalObjective,
            {"ascent": Ascent(rule="apgd"), "strategy": "alternating"},
            "expected ascent.rule sign or momentum where levels or trees take turns, got apgd",
        ),
        (HierarchicalObjective, {"ascent": Ascent(rule="apgd", trees_per_step=1)}, "take turns, got apgd"),
        (
            HierarchicalObjective,
            {"ascent": Ascent(trees_per_step=1, random_start=False)},
            "expected ascent.random_start true with ascent.trees_per_step, got false",
        ),
    ],
)
def test_switches_that_do_not_go_together_are_refused(kind, switches, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**switches)
