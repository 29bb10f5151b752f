"""Batches that span all processes of a distributed run, with gradients.

A loss whose averages span the global batch is the mean over the processes of what each process computes: its own
images' terms, and the terms of groups, which every process computes alike from the points of all. DDP averages
gradients over the processes, so the gradients are those of one process on the global batch if a point that others use
gets the sum of what flows back from all of them, which is what `across_processes` does.

Without a process group everything here is the identity. All processes must call alike, with batches of one size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def across_processes(rows: Tensor) -> Tensor:
    """Rows `(B, ...)` of all processes, `(processes·B, ...)` by rank; gradients of all processes flow back to a row."""
    if process_count() == 1:
        return rows
    gathered: Tensor = _Gathered.apply(rows)
    return gathered


def with_mean_gradient(value: Tensor) -> Tensor:
    """A value that all processes share, unchanged; its gradient becomes the mean over the processes."""
    if process_count() == 1:
        return value
    shared: Tensor = _MeanGradient.apply(value)
    return shared


def with_mean_value(value: Tensor) -> Tensor:
    """The mean over the processes of a number that each computes; its gradient stays each process's own."""
    if process_count() == 1:
        return value
    mean: Tensor = _MeanValue.apply(value)
    return mean


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(process_count())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(process_count())[dist.get_rank()]


class _MeanGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / process_count()


class _MeanValue(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / process_count()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient
