"""Switches of the image tower that change speed and memory, not results: compilation and activation checkpointing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from hrvlm.training.settings import TowerExecution


class CompiledForward:
    """The compiled forward pass of a module, put in place only where it is asked for.

    Training runs compiled, while evaluation, certificates, copies and checkpoints see the plain module: certificates
    then do not depend on how a compiler rounds.
    """

    def __init__(self, module: nn.Module, backend: str) -> None:
        """Compiles on first use.

        Args:
            module: The image tower.
            backend: Of `torch.compile`, usually "inductor", which needs a C++ compiler.

        Raises:
            ValueError: If there is no such backend.
        """
        known = sorted({*torch.compiler.list_backends(exclude_tags=()), "inductor"})
        if backend not in known:
            raise ValueError(f"expected compile_backend of {', '.join(known)}, got {backend!r}")
        self._module = module
        self._forward: Callable[..., Any] = torch.compile(module.forward, backend=backend)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module runs compiled inside."""
        self._module.forward = self._forward
        try:
            yield
        finally:
            del self._module.forward  # the class's own method again


def switched(tower: nn.Module, execution: TowerExecution) -> CompiledForward | None:
    """Switches a tower to what is asked for; returns its compiled forward pass, if there is to be one."""
    if execution.checkpoint_activations:
        checkpoint_activations(tower)
    backend = execution.compile_backend
    return None if backend is None else CompiledForward(tower, backend)


def checkpoint_activations(tower: nn.Module) -> None:
    """Makes an open_clip image tower compute activations again in backward passes instead of keeping them.

    Raises:
        ValueError: If the tower cannot; open_clip's residual networks take the call and do nothing.
    """
    switch = getattr(tower, "set_grad_checkpointing", None)
    if switch is not None:
        switch(True)
    if not any(getattr(part, "grad_checkpointing", False) for part in tower.modules()):
        raise ValueError(
            f"expected an image tower with activation checkpointing, got {type(tower).__name__} without it; "
            "use a vision transformer, or leave checkpoint_activations off"
        )
