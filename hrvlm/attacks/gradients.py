"""A loss and its gradients for images and a text perturbation, checked for numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Ascended: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
"""A loss, and the gradients of its sum for images and text perturbation; None where it does not use the latter."""


class NonFiniteError(RuntimeError):
    """A loss or gradient was NaN or infinite while a perturbation was sought.

    Attributes:
        what: What was not finite: "loss", "score", "image gradient" or "text gradient".
        step: Step of the ascent, from 0.
        images: The perturbed images at that step, for saving.
    """

    def __init__(self, what: str, step: int, images: Tensor) -> None:
        """Build the message from what failed and where."""
        rows = "" if images.ndim == 0 else f" on a batch of {len(images)}"
        super().__init__(
            f"expected a finite {what} at step {step} of the perturbation{rows}, got NaN or infinity: "
            "lower the learning rate or the attack's precision demands, and inspect the images kept in this error"
        )
        self.what, self.step = what, step
        self.images = images.detach()


class FiniteChecks:
    """Whether the losses and gradients of an ascent were numbers.

    On the CPU each is asked about at once. A device would be waited for at every step, so its answers stay there until
    the ascent is over.
    """

    def __init__(self, at_once: bool) -> None:
        """Start without any; `at_once` on the CPU."""
        self._at_once = at_once
        self._asked: list[tuple[str, int]] = []
        self._answers: list[Tensor] = []
        self._all_finite: Tensor | None = None
        self._images: Tensor | None = None

    def note(self, found: dict[str, Tensor], step: int, images: Tensor) -> None:
        """Ask about tensors of a step, by what they are, at perturbed images.

        Raises:
            NonFiniteError: If one is NaN or infinite, where it is asked at once.
        """
        answers = {what: tensor.isfinite().all() for what, tensor in found.items()}
        if self._at_once:
            for what, answer in answers.items():
                if not bool(answer):
                    raise NonFiniteError(what, step, images)
            return
        self._asked += [(what, step) for what in answers]
        self._answers += answers.values()
        self._images = self._first(images.detach())
        every = torch.stack([*answers.values()]).all()
        self._all_finite = every if self._all_finite is None else self._all_finite & every

    def _first(self, images: Tensor) -> Tensor:
        """The images of the first step that failed; the last ones as long as none has."""
        if self._images is None or self._all_finite is None:
            return images
        return torch.where(self._all_finite, images, self._images)

    def conclude(self) -> None:
        """Ask about all steps on a device, and wait for it.

        Raises:
            NonFiniteError: With the first tensor that was NaN or infinite.
        """
        if not self._answers or self._images is None:
            return
        for (what, step), answer in zip(self._asked, torch.stack(self._answers).tolist(), strict=True):
            if not answer:
                raise NonFiniteError(what, step, self._images)


def ascended(
    loss: Callable[[Tensor, Tensor | None], Tensor],
    points: Sequence[Tensor],
    text: Tensor | None,
    step: int,
    checks: FiniteChecks,
) -> Ascended:
    """Loss and gradients of one step of an ascent: at a point, or their means over several.

    Args:
        loss: Maps images and the text perturbation to one loss or one per image.
        points: Perturbed images, at least one.
        text: The text perturbation, or None.
        step: For messages.
        checks: Asks whether they are finite.

    Raises:
        ValueError: If the loss does not depend on the images.
        NonFiniteError: If a loss or gradient is NaN or infinite.
    """
    values, images, texts = zip(*(_at(loss, point, text, step, checks) for point in points), strict=True)
    given = [gradient for gradient in texts if gradient is not None]
    return mean_of(values), mean_of(images), mean_of(given) if given else None


def mean_of(tensors: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape; one alone as it is."""
    return tensors[0] if len(tensors) == 1 else torch.stack([*tensors]).mean(dim=0)


def _at(
    loss: Callable[[Tensor, Tensor | None], Tensor],
    images: Tensor,
    text: Tensor | None,
    step: int,
    checks: FiniteChecks,
) -> Ascended:
    """The loss and its gradients at one point."""
    images = images.detach().requires_grad_()
    inputs = [images] if text is None else [images, text.detach().requires_grad_()]
    values = loss(images, None if text is None else inputs[1])
    value = values.sum()
    if not value.requires_grad:
        raise ValueError(
            "expected a loss that depends on the images, got one without gradient: do not detach inside it"
        )
    with torch.autocast(images.device.type, enabled=False):  # as a backward pass: what ran in float32 stays in it
        gradients = torch.autograd.grad(value, inputs, allow_unused=True)
    if gradients[0] is None:
        raise ValueError("expected a loss that depends on the images, got one that ignores them: use its argument")
    named = zip(("loss", "image gradient", "text gradient"), (value, *gradients), strict=False)
    checks.note({what: tensor for what, tensor in named if tensor is not None}, step, images)
    return values.detach(), gradients[0], gradients[1] if text is not None else None
