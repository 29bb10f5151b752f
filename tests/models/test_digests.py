"""Digests of weights, which tell rows of one model from those of another."""

from __future__ import annotations

import pytest
import torch

from hrvlm.models import state_digest

STATE = {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "steps": torch.tensor(5)}


def test_the_order_and_layout_of_a_state_do_not_matter() -> None:
    turned = {"steps": STATE["steps"], "weight": torch.nn.Parameter(STATE["weight"].T.contiguous().T)}
    assert not turned["weight"].is_contiguous()
    assert state_digest(turned) == state_digest(STATE)


@pytest.mark.parametrize(
    "change",
    [
        {"weight": torch.tensor([[1.0, 2.0], [3.0, 4.0000005]])},
        {"weight": STATE["weight"].reshape(4)},
        {"weight": STATE["weight"].view(torch.int32)},
        {"weight": STATE["weight"].T},
        {"steps": torch.tensor(6)},
        {"more": torch.zeros(0)},
    ],
    ids=["value", "shape", "type", "order", "buffer", "name"],
)
def test_whatever_else_differs_is_another_model(change: dict[str, torch.Tensor]) -> None:
    assert state_digest(STATE | change) != state_digest(STATE)
