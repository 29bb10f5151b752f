"""Losses of scores against sorting by hand, with columns left out and with gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hrvlm.attacks.score_losses import LOSSES, difference_of_logits_ratio, margin

INFINITY = float("inf")


@pytest.fixture
def scores() -> torch.Tensor:
    return 9 * torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ratio_by_hand(row: list[float], label: int) -> float:
    """Of the candidates of a row: best wrong less right, over best less third."""
    candidates = sorted((score for score in row if score > -INFINITY), reverse=True)
    wrong = max(score for place, score in enumerate(row) if place != label)
    gap = candidates[0] - candidates[2] if len(candidates) > 2 else 1.0
    return (wrong - row[label]) / gap


@pytest.mark.parametrize("left_out", [0, 3, 4])
def test_ratio_is_that_of_the_candidates_alone(left_out: int, scores: torch.Tensor) -> None:
    labels = torch.arange(40) % (6 - left_out)
    if left_out:
        scores[:, -left_out:] = -INFINITY
    expected = [ratio_by_hand(row, label) for row, label in zip(scores.tolist(), labels.tolist(), strict=True)]
    torch.testing.assert_close(difference_of_logits_ratio(scores, labels), torch.tensor(expected).double())
    shown = scores[:, : 6 - left_out]
    torch.testing.assert_close(difference_of_logits_ratio(shown, labels), torch.tensor(expected).double())


def test_no_scale_or_shift_of_scores_changes_the_ratio(scores: torch.Tensor) -> None:
    labels = torch.arange(40) % 6
    found = difference_of_logits_ratio(scores, labels)
    torch.testing.assert_close(difference_of_logits_ratio(0.01 * scores + 5, labels), found)
    assert not torch.allclose(margin(0.01 * scores, labels), margin(scores, labels))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_differences_also_where_columns_are_left_out(name: str, scores: torch.Tensor) -> None:
    labels = torch.tensor([0, 1, 0, 2])
    candidates = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1], [1, 0, 1, 1]], dtype=torch.bool)

    def loss(values: torch.Tensor) -> torch.Tensor:
        return LOSSES[name](torch.where(candidates, values, -INFINITY), labels)

    assert torch.autograd.gradcheck(loss, (scores[:4, :4].clone().requires_grad_(),))


def test_equal_scores_give_numbers_and_gradients() -> None:
    values = torch.zeros(2, 5, requires_grad=True)
    loss = difference_of_logits_ratio(values, torch.tensor([0, 1]))
    assert loss.tolist() == [0.0, 0.0]
    assert torch.autograd.grad(loss.sum(), values)[0].isfinite().all()


def test_cross_entropy_is_torchs_own(scores: torch.Tensor) -> None:
    labels = torch.arange(40) % 6
    assert torch.equal(LOSSES["cross_entropy"](scores, labels), F.cross_entropy(scores, labels, reduction="none"))
