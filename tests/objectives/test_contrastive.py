"""Tests of the contrastive losses against loops written from their formulae."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from hrvlm.objectives.contrastive import caption_truth, contrastive_loss, prompt_losses


def features(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def slow_cross_entropy(scores: list[float], target: int, left_out: set[int]) -> float:
    return math.log(sum(math.exp(s) for j, s in enumerate(scores) if j not in left_out)) - scores[target]


def test_contrastive_loss_leaves_true_captions_out_of_the_negatives() -> None:
    images, texts, scale = features(5, 0), features(5, 1), 7.0
    truth = torch.rand(5, 5, generator=torch.Generator().manual_seed(2)) < 0.4
    logits = [[scale * float(images[i] @ texts[j]) for j in range(5)] for i in range(5)]
    total = 0.0
    for i in range(5):
        total += slow_cross_entropy(logits[i], i, {j for j in range(5) if truth[i, j] and j != i})
        column = [logits[j][i] for j in range(5)]
        total += slow_cross_entropy(column, i, {j for j in range(5) if truth[j, i] and j != i})
    assert float(contrastive_loss(images, texts, torch.tensor(scale), truth)) == pytest.approx(total / 10, rel=1e-12)


def test_further_captions_are_negatives_of_images_and_have_no_image_of_their_own() -> None:
    images, texts, scale = features(3, 0), features(5, 1), 7.0
    truth = torch.zeros(3, 5, dtype=torch.bool)
    truth[1, 4] = True
    logits = [[scale * float(images[i] @ texts[j]) for j in range(5)] for i in range(3)]
    rows = [slow_cross_entropy(logits[i], i, {4} if i == 1 else set()) for i in range(3)]
    columns = [slow_cross_entropy([logits[j][i] for j in range(3)], i, set()) for i in range(3)]
    expected = (sum(rows) + sum(columns)) / 6
    assert float(contrastive_loss(images, texts, torch.tensor(scale), truth)) == pytest.approx(expected, rel=1e-12)


def test_a_caption_is_true_where_its_class_covers_and_no_stated_value_differs() -> None:
    generator = torch.Generator().manual_seed(0)
    covers = torch.rand(6, 7, generator=generator) < 0.6
    values = torch.randint(0, 3, (6, 2), generator=generator)
    stated = torch.randint(-1, 3, (7, 2), generator=generator)
    found = caption_truth(covers, values, stated)
    for i in range(6):
        for j in range(7):
            agrees = all(int(s) < 0 or int(s) == int(v) for s, v in zip(stated[j], values[i], strict=True))
            assert bool(found[i, j]) == (bool(covers[i, j]) and agrees)


def test_prompt_losses_are_cross_entropies_of_each_level() -> None:
    images, texts = features(4, 0), [features(5, 1), features(3, 2)]
    targets = [torch.tensor([0, 4, 2, 2]), torch.tensor([0, 2, 1, 1])]
    for loss, text, target in zip(
        prompt_losses(images, texts, torch.tensor(3.0), targets), texts, targets, strict=True
    ):
        slow = [
            slow_cross_entropy([3 * float(a @ t) for t in text], int(y), set())
            for a, y in zip(images, target, strict=True)
        ]
        assert float(loss) == pytest.approx(sum(slow) / 4, rel=1e-12)
