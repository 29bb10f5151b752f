"""Sums of losses whose parts are differentiated one after another, so that only one part's intermediate values live.

A forest's loss is a sum over its trees. Kept as one graph, it would hold the rows, scores and masks of every tree until
the backward pass. Here each tree's gradients are taken as soon as its loss is known and its graph is freed, so that
memory grows with the largest tree instead of with the number of trees, and nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Part = Callable[..., Tensor]


def sum_parts(parts: Sequence[Part], inputs: Sequence[Tensor], parameters: Iterable[Tensor] = ()) -> Tensor:
    """Sum of `part(*inputs)` over the parts, with gradients to inputs and parameters; no second derivatives.

    Args:
        parts: Functions of `inputs` to a number.
        inputs: What the parts share. Gradients reach nothing else but `parameters`.
        parameters: Leaves that the parts use besides.

    Returns:
        The sum, no dimensions.
    """
    tensors = (*inputs, *parameters)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        total: Tensor = _Sum.apply(parts, len(inputs), *tensors)
        return total
    return torch.stack([part(*inputs) for part in parts]).sum()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: Sequence[Part], count: int, *tensors: Tensor) -> Tensor:
        needed = ctx.needs_input_grad[2:]
        inputs = [x.detach().requires_grad_(need) for x, need in zip(tensors[:count], needed[:count], strict=True)]
        sources = [x for x, need in zip([*inputs, *tensors[count:]], needed, strict=True) if need]
        sums: list[Tensor | None] = [None] * len(sources)
        values = []
        for part in parts:
            with torch.enable_grad():
                value = part(*inputs)
            if value.requires_grad:
                gradients = torch.autograd.grad(value, sources, allow_unused=True)
                sums = [_added(total, gradient) for total, gradient in zip(sums, gradients, strict=True)]
            values.append(value.detach())
        found = iter(sums)
        ctx.gradients = [next(found) if need else None for need in needed]
        return torch.stack(values).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if part is None else gradient * part for part in ctx.gradients)


def _added(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if total is None or gradient is None:
        return gradient if total is None else total
    return total.add_(gradient)
