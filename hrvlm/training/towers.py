"""How the image tower computes in training, which changes speed and memory, not results but for rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import PatchDropout, VisionTransformer
from torch import nn

from hrvlm.models import inference_copy
from hrvlm.models.compilation import compiled
from hrvlm.models.residual_inference import untouched
from hrvlm.training.settings import TowerExecution

_CHANGED_BY_TRAINING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, PatchDropout)


@contextmanager
def _answering(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Inside, a module answers by another forward pass; its parameters, state dict and class stay its own."""
    module.forward = forward
    try:
        yield
    finally:
        del module.forward  # the class's own method again


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
        self._module = module
        self._forward: Callable[..., Any] = compiled(module.forward, backend)

    def in_place(self) -> AbstractContextManager[None]:
        """The module runs compiled inside."""
        return _answering(self._module, self._forward)


class TowerForward:
    """How an image tower computes inside a training step: compiled, rewritten for gradients of pixels, or as it is."""

    def __init__(self, tower: nn.Module, execution: TowerExecution) -> None:
        """Switches the tower to what is asked for.

        Args:
            tower: Of the model that is trained.
            execution: Compilation and activation checkpointing.

        Raises:
            ValueError: If the tower has no activation checkpointing, or there is no such compiler.
        """
        if execution.checkpoint_activations:
            checkpoint_activations(tower)
        backend = execution.compile_backend
        self._tower, self._compiled = tower, None if backend is None else CompiledForward(tower, backend)
        self._parameters = len(list(tower.parameters()))

    def in_place(self) -> AbstractContextManager[None]:
        """The tower runs compiled inside, if it is to be."""
        return nullcontext() if self._compiled is None else self._compiled.in_place()

    def perturbing(self) -> AbstractContextManager[None]:
        """The tower's twin for inference runs inside, which finds gradients of pixels sooner and rounds differently.

        It is made anew from the present weights, see `hrvlm.models.inference_copy`, which takes a hundredth of a step.
        The tower runs itself where it is compiled, where its batch norms adapt or anything is drawn at random, where
        hooks or shards are at work, as in fully sharded training, and where activations are not kept.
        """
        if not self._rewritable():
            return nullcontext()
        return _answering(self._tower, inference_copy(self._tower).forward)

    def _rewritable(self) -> bool:
        parts, parameters = list(self._tower.modules()), list(self._tower.parameters())
        return (
            type(self._tower) in (ModifiedResNet, VisionTransformer)
            and all(map(untouched, parts))
            and not any(part.training and isinstance(part, _CHANGED_BY_TRAINING) for part in parts)
            and not any(getattr(part, "grad_checkpointing", False) for part in parts)
            and len(parameters) == self._parameters
            and all(type(parameter) is nn.Parameter for parameter in parameters)
        )


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
