"""Sums differentiated part by part against one graph of all parts, and how many graphs live at once."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hrvlm.objectives.piecewise import sum_parts

Parts = list[Callable[..., Tensor]]


@pytest.fixture
def problem() -> tuple[Parts, list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    scale, unused = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.7, 2.0))
    parts: Parts = [
        lambda x, y: (scale * x @ y.T).logsumexp(-1).sum(),
        lambda x, y: (x - 0.3).square().sum() * scale,
        lambda x, y: y.sin().sum(),
    ]
    return parts, inputs, [scale, unused]


def test_value_and_gradients_are_those_of_one_graph(problem: tuple[Parts, list[Tensor], list[Tensor]]) -> None:
    parts, inputs, parameters = problem
    expected = sum((part(*inputs) for part in parts), torch.zeros((), dtype=torch.float64))
    wanted = torch.autograd.grad(3.0 * expected.square(), [*inputs, *parameters], allow_unused=True)
    total = sum_parts(parts, inputs, parameters)
    torch.testing.assert_close(total, expected)
    found = torch.autograd.grad(3.0 * total.square(), [*inputs, *parameters], allow_unused=True)
    assert found[-1] is None
    for gradient, reference in zip(found[:-1], wanted[:-1], strict=True):
        torch.testing.assert_close(gradient, reference)


def test_only_what_asks_for_a_gradient_gets_one(problem: tuple[Parts, list[Tensor], list[Tensor]]) -> None:
    parts, (x, y), parameters = problem
    x, scale = x.detach(), parameters[0].requires_grad_(False)
    sum_parts(parts, [x, y], parameters).backward()
    assert x.grad is None
    assert scale.grad is None
    assert y.grad is not None
    wanted = y.detach().requires_grad_()
    sum((part(x, wanted) for part in parts), torch.zeros((), dtype=torch.float64)).backward()
    torch.testing.assert_close(y.grad, wanted.grad)


def test_without_gradients_it_is_a_plain_sum(problem: tuple[Parts, list[Tensor], list[Tensor]]) -> None:
    parts, inputs, parameters = problem
    with torch.no_grad():
        total = sum_parts(parts, inputs, parameters)
    assert not total.requires_grad
    torch.testing.assert_close(total, sum_parts(parts, inputs, parameters).detach())


def test_a_parts_graph_is_gone_before_the_next_begins() -> None:
    alive: list[weakref.ref[Tensor]] = []
    seen: list[int] = []

    def part(x: Tensor) -> Tensor:
        seen.append(sum(reference() is not None for reference in alive))
        middle = x.exp()  # kept by the graph for its backward pass
        alive.append(weakref.ref(middle))
        return middle.sum()

    x = torch.ones(3, requires_grad=True)
    sum_parts([part] * 4, [x]).backward()
    assert seen == [0, 0, 0, 0]
    torch.testing.assert_close(x.grad, 4 * torch.ones(3).exp())
