"""Every part of the hierarchical method is a switch: weights of its terms, together and one by one."""

from __future__ import annotations

import pytest
import torch
from short_settings import made

from hrvlm.objectives import Adversarial, HierarchicalObjective, Perturbed
from hrvlm.objectives.hierarchical import TreeTerms
from hrvlm.objectives.settings import LossWeights
from hrvlm.objectives.weighing import TermWeights

TERMS = TreeTerms(
    hita=torch.tensor([2.0, 3.0, 5.0]),
    vicinity=torch.tensor(7.0),
    order_image=torch.tensor([11.0, 13.0]),
    order_text=torch.tensor([17.0, 19.0]),
    accuracy=torch.tensor(0.5),
)


def test_total_is_the_weighted_sum_of_the_terms() -> None:
    weights = TermWeights((0.5, 0.0, 4.0), 0.3, 0.2, 0.1)
    expected = 0.5 * 2 + 4 * 5 + 0.3 * 7 + 0.2 * (11 + 13) + 0.1 * (17 + 19)
    assert float(weights.total(TERMS, None)) == pytest.approx(expected)
    # An order hinge belongs to its child, also where the alignment of that level is switched off.
    parts = [0.5 * 2 + 0.3 * 7 + 0.2 * 11 + 0.1 * 17, 0.2 * 13 + 0.1 * 19, 4 * 5]
    assert [float(weights.total(TERMS, level)) for level in range(3)] == pytest.approx(parts)
    assert float(weights.total(TERMS, 3)) == 0.0


def test_weights_that_are_not_given_are_the_papers_and_follow_each_tree() -> None:
    like = torch.zeros(())
    assert TermWeights().of_levels(4, None, like).tolist() == [1.0, 0.75, 0.5, 0.25]
    assert TermWeights((3.0, 2.0, 1.0)).of_levels(2, None, like).tolist() == [3.0, 2.0]
    assert TermWeights((3.0, 2.0, 1.0)).of_levels(3, 1, like).tolist() == [0.0, 2.0, 0.0]
    assert LossWeights(vicinity=0.1, order=0.5).terms() == TermWeights(None, 0.1, 0.5, 0.5)
    assert LossWeights(vicinity=0.1, order=0.5, order_image=0.0, order_text=2.0).terms() == TermWeights(
        None, 0.1, 0.0, 2.0
    )


def ready(model, forest, images, **settings) -> HierarchicalObjective:
    objective = made(HierarchicalObjective, **({"eps": 8 / 255, "step_size": 4 / 255} | settings))
    objective.bind(forest)
    objective.prepare(model, images)
    return objective


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({"lambda_vicinity": 0.0, "lambda_order": 0.0}, ["hita"]),
        ({"lambda_vicinity": 0.4, "lambda_order": 0.0}, ["hita", "vicinity"]),
        ({"lambda_vicinity": 0.0, "lambda_order": 0.0, "lambda_order_image": 0.3}, ["hita", "order_image"]),
        ({"lambda_vicinity": 0.0, "lambda_order": 0.3, "lambda_order_image": 0.0}, ["hita", "order_text"]),
    ],
)
def test_objective_trains_on_the_terms_that_are_switched_on(
    settings: dict[str, float], terms: list[str], model, forest, batch
) -> None:
    images, labels = batch
    objective = ready(model, forest, images, zeta_vicinity=0.1, zeta_gap=0.5, **settings)
    loss, logs = objective.loss(model, Adversarial((Perturbed(images),)), images, labels)
    means = {"vicinity": 0.4, "order_image": 0.3, "order_text": 0.3}
    trees = 2  # logs are means over the trees, and only the deeper one has a level 2
    expected = trees * sum(means[term] * float(logs[term]) for term in terms if term != "hita")
    slow = ready(model, forest, images, lambda_vicinity=0.0, lambda_order=0.0)
    hita, _ = slow.loss(model, Adversarial((Perturbed(images),)), images, labels)
    assert min(float(logs[term]) for term in means) > 0.01
    assert float(loss.detach()) == pytest.approx(float(hita.detach()) + expected, rel=1e-4)


def test_level_weights_choose_what_the_perturbation_ascends(model, forest, batch) -> None:
    images, labels = batch
    found = [
        ready(model, forest, images, eps_text=0.0, **settings).perturb(model, images, labels).images
        for settings in ({"strategy": "leaf"}, {"level_weights": [1.0, 0.0, 0.0]}, {"level_weights": [0.0, 0.0, 1.0]})
    ]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lambda_order_text": -0.1}, "expected weights.order_text >= 0 and finite, got -0.1"),
        ({"lambda_order": float("nan")}, "expected weights.order >= 0"),
        ({"level_weights": [1.0, -1.0]}, "expected weights.levels >= 0 and finite, got -1.0"),
        ({"level_weights": [0.0, 0.0]}, "expected a level weight above 0"),
        ({"head": "cosine", "lambda_order": 0.0, "lambda_order_text": 0.5}, "expected weights.order 0 with the cosine"),
    ],
)
def test_bad_weights_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(HierarchicalObjective, **settings)


def test_level_weights_must_fit_the_deepest_tree(forest) -> None:
    with pytest.raises(ValueError, match=r"expected 3 weights\.levels, one per level of the deepest tree"):
        made(HierarchicalObjective, level_weights=[1.0, 0.5]).bind(forest)
