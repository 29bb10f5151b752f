"""Adversarial weight perturbation: the loss is descended at weights that were moved to raise it, then moved back.

Source: "Adversarial Weight Perturbation Helps Robust Generalization", Wu et al., NeurIPS 2020 (arXiv 2004.05884): after
the pictures' perturbation, each layer's weights w take one step of length γ‖w‖ along their gradient.

Where the paper is silent: layers are the trained matrices and convolutions, those that weight decay concerns; in a
distributed run the gradient is the mean over the processes, so that all move alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor, nn

from hrvlm.attacks import NonFiniteError
from hrvlm.objectives.gathering import process_count
from hrvlm.training.settings import WeightPerturbation


def steepest(weight: Tensor, gradient: Tensor, gamma: float) -> Tensor:
    """γ‖weight‖·gradient / ‖gradient‖, shape of `weight`; zero where the gradient is."""
    largest = gradient.abs().max().clamp_min(torch.finfo(gradient.dtype).tiny)
    scaled = gradient / largest  # before squaring: tiny gradients square to nothing
    return gamma * weight.norm() * scaled / scaled.norm().clamp_min(torch.finfo(gradient.dtype).tiny)


def moved_weights(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those of a model's parameters that are moved: trained, of two or more dimensions."""
    return [parameter for parameter in parameters if parameter.requires_grad and parameter.ndim > 1]


class MovedWeights:
    """Weights that may be away from where they belong, and the way back to the last bit."""

    def __init__(self) -> None:
        """Starts with all at home."""
        self._kept: list[tuple[nn.Parameter, Tensor]] = []

    def move(self, loss: Tensor, parameters: Iterable[nn.Parameter], gamma: float, scale: float | None) -> None:
        """Moves trained weights of two or more dimensions up the loss; `.grad` of all parameters stays as it is.

        Args:
            loss: With the graph from the weights.
            parameters: Of the whole model, in one order on all processes.
            gamma: See `WeightPerturbation`.
            scale: Factor that keeps gradients in the range of float16, if training has one; gradients that leave it all
                the same then move nothing, as training skips such a step.

        Raises:
            NonFiniteError: If a gradient is NaN or infinite without such a factor.
        """
        weights = moved_weights(parameters)
        with torch.autocast(loss.device.type, enabled=False):  # else products of the backward pass lose their bits
            found = torch.autograd.grad(loss if scale is None else scale * loss, weights, allow_unused=True)
        used = [(weight, gradient) for weight, gradient in zip(weights, found, strict=True) if gradient is not None]
        gradients = [_mean_over_processes(gradient) for _, gradient in used]
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            if scale is None:
                raise NonFiniteError("weight gradient", 0, loss)
            return
        with torch.no_grad():
            for (weight, _), gradient in zip(used, gradients, strict=True):
                self._kept.append((weight, weight.detach().clone()))
                weight.add_(steepest(weight, gradient, gamma))
        torch.clear_autocast_cache()  # it holds the weights of before in few bits

    @contextmanager
    def back_on_error(self) -> Iterator[None]:
        """Puts all weights back if what is done inside fails."""
        try:
            yield
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Puts all weights back; does nothing where none was moved."""
        with torch.no_grad():
            for weight, kept in self._kept:
                weight.copy_(kept)
        self._kept.clear()


def _mean_over_processes(gradient: Tensor) -> Tensor:
    if process_count() > 1:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        gradient /= process_count()
    return gradient


class WeightPerturbedModule(LightningModule):
    """A module whose steps of training may be taken at moved weights.

    Attributes:
        weight_perturbation: How far they are moved; None for not at all.
    """

    weight_perturbation: WeightPerturbation | None = None

    def __init__(self) -> None:
        """Starts with all weights where they belong."""
        super().__init__()
        self.moved = MovedWeights()

    def on_train_start(self) -> None:
        """Refuses strategies under which no process holds whole weights, and models without any to move.

        Raises:
            ValueError: If weights are to be moved, and the trainer has such a strategy or the model none of them.
        """
        if self.weight_perturbation is not None and not moved_weights(self.parameters()):
            raise ValueError(
                "expected trained matrices or convolutions for trained.weight_perturbation, got none: leave it out, or "
                "train the image tower"
            )
        allowed = isinstance(self.trainer.strategy, SingleDeviceStrategy | DDPStrategy)
        if self.weight_perturbation is not None and not allowed:
            name = type(self.trainer.strategy).__name__
            raise ValueError(f"expected one device or trainer.strategy ddp with a weight perturbation, got {name}")

    def move_weights(self, loss: Callable[[], Tensor]) -> None:
        """Moves weights up a loss, where this epoch is to; `backward` puts them back."""
        chosen = self.weight_perturbation
        if chosen is not None and self.current_epoch >= chosen.start_epoch:
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)  # which training in float16 has
            scale = None if scaler is None else float(scaler.get_scale())
            self.moved.move(loss(), self.parameters(), chosen.gamma, scale)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients at the weights that the loss was taken at, which then are put back, also after an error."""
        try:
            super().backward(loss, *args, **kwargs)
        finally:
            self.moved.restore()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts weights back that a run left where it was stopped between a loss and its gradients.

        What the checkpoint holds are the weights themselves, no copies.
        """
        self.moved.restore()
