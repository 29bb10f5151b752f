"""Train and evaluation modes and gradient flags, left as they were found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every sub-module has the mode it had."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def inferring(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, in which outputs depend on weights and inputs only, to the last bit.

    PyTorch chooses kernels by `requires_grad` even where no gradient is recorded, so a model in training and the same
    model from a checkpoint would differ by rounding; here no parameter requires a gradient. Flags are put back after.
    """
    flags = [(parameter, parameter.requires_grad) for module in modules for parameter in module.parameters()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        with torch.no_grad(), evaluating(*modules):
            yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of PyTorch inside: how sums are cut into threads decides how they round on a CPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
