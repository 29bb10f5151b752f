"""Compiled forward passes: towers whose parameters, state dict and copies stay those of the plain module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def compiled(call: Callable[..., Any], backend: str, **options: Any) -> Callable[..., Any]:
    """A function that is compiled on first use.

    Args:
        call: The function.
        backend: Of `torch.compile`, usually "inductor", which needs a C++ compiler on the CPU.
        options: Others of `torch.compile`.

    Raises:
        ValueError: If there is no such backend.
    """
    known = sorted({*torch.compiler.list_backends(exclude_tags=()), "inductor"})
    if backend not in known:
        raise ValueError(f"expected compile_backend of {', '.join(known)}, got {backend!r}")
    found: Callable[..., Any] = torch.compile(call, backend=backend, **options)
    return found


def compile_batches(tower: nn.Module, batch_size: int, backend: str) -> None:
    """Lets a tower for inference run compiled on whole batches; others, few and of all sizes, run as before.

    With "inductor" on a CUDA device, the kernels of a batch are launched at once, by a CUDA graph.

    Args:
        tower: Whose parameters ask for no gradients, such as that of an `inference_copy`; changed in place.
        batch_size: Of a whole batch.
        backend: See `compiled`.

    Raises:
        ValueError: If there is no such backend.
    """
    plain = tower.forward
    graphs = backend == "inductor" and any(parameter.is_cuda for parameter in tower.parameters())
    whole = compiled(plain, backend, dynamic=False, **({"mode": "reduce-overhead"} if graphs else {}))

    def forward(images: Tensor) -> Tensor:
        # A graph writes all its answers to one place.
        return whole(images).clone() if len(images) == batch_size else plain(images)

    tower.forward = forward
