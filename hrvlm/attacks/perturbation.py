"""Gradient ascent on a loss within a threat model, without touching the parameters' gradients or any module's mode.

One loop serves training (universal hierarchical perturbation of images and texts, K steps) and evaluation (PGD-20).

Sources: Madry et al., ICLR 2018 (arXiv 1706.06083) for PGD; "Hierarchically Robust Zero-shot Vision-language Models",
Dong et al., CVPR 2026 (arXiv 2604.18867) for the joint perturbation of images and texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrvlm.attacks.gradients import FiniteChecks, ascended, mean_of
from hrvlm.attacks.step_rules import Budget, StepRule
from hrvlm.attacks.threat_model import ThreatModel

MAX_STEPS = 100_000  # a thousand times what attacks are run with
STEEPEST = StepRule()


@contextmanager
def frozen_parameters(*modules: nn.Module) -> Iterator[None]:
    """Switch `requires_grad` of all parameters off, and back to exactly what it was, also after an exception."""
    parameters = {id(parameter): parameter for module in modules for parameter in module.parameters()}
    flags = [(parameter, parameter.requires_grad) for parameter in parameters.values()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def perturb(
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    threat_model: ThreatModel,
    steps: int,
    step_size: float,
    generator: torch.Generator | None = None,
    rule: StepRule = STEEPEST,
) -> Tensor:
    """Find a perturbation that raises a loss.

    Gradients are taken for the images only (`autograd.grad`), so `.grad` of parameters never changes; wrap the call in
    `frozen_parameters` to spare their gradients too. Works under `torch.no_grad` and `torch.inference_mode`, and leaves
    train/eval modes as they are: batch-norm statistics do move if a module is in train mode.

    Args:
        loss: Maps images `(N, ...)` to a loss per image `(N,)`, or one number; it is summed.
        images: Clean images within the bounds of the threat model.
        threat_model: Norm, budget and bounds.
        steps: Number of ascent steps; 0 returns the clean images (or the random start).
        step_size: Length of a step in pixel units.
        generator: If given, start from a random point of the budget, else from the clean images.
        rule: How a step follows from the gradients so far.

    Returns:
        Adversarial images, detached, within budget and bounds. The last iterate, as PGD is defined, not the best.

    Raises:
        ValueError: If images, steps or step size are out of range.
        NonFiniteError: If a loss or gradient is NaN or infinite.
    """
    adversarial, _ = perturb_jointly(
        lambda pixels, _: loss(pixels),
        images,
        None,
        threat_model,
        eps_text=0.0,
        steps=steps,
        step_size_image=step_size,
        step_size_text=0.0,
        generator=generator,
        rule=rule,
    )
    return adversarial


def perturb_jointly(
    loss: Callable[[Tensor, Tensor | None], Tensor],
    images: Tensor,
    text_delta: Tensor | None,
    threat_model: ThreatModel,
    *,
    eps_text: float,
    steps: int,
    step_size_image: float,
    step_size_text: float,
    generator: torch.Generator | None = None,
    rule: StepRule = STEEPEST,
) -> tuple[Tensor, Tensor | None]:
    """Find one perturbation of images and one of text features that together raise a loss.

    Args:
        loss: Maps images and the text perturbation (None if there is none) to one loss or one per image; called once
            for each step, and for each further start.
        images: Clean images within the bounds.
        text_delta: Start of the text perturbation, any shape, usually zeros `(nodes, D)`; None perturbs images only.
        threat_model: Norm, budget and bounds of the images.
        eps_text: Largest absolute entry of the text perturbation, >= 0, in units of the text features.
        steps: Number of ascent steps.
        step_size_image: Length of a step in pixel units.
        step_size_text: Length of a sign step of the text perturbation.
        generator: If given, images start from a random point of the budget, or several, see `StepRule.starts`.
        rule: How a step follows from the gradients so far; texts, which all images share, are moved as one row.

    Returns:
        Adversarial images and text perturbation, detached.

    Raises:
        ValueError: If images, budgets, steps or step sizes are out of range.
        NonFiniteError: If a loss or gradient is NaN or infinite.
    """
    threat_model.check_images(images)
    _check_steps(steps, step_size_image, eps_text, step_size_text)
    with torch.inference_mode(False), torch.enable_grad():
        clean = images.detach().clone()  # a clone is a normal tensor even where `images` was made in inference mode
        points = _starts(clean, threat_model, generator, rule.starts)
        delta = mean_of(points)
        text = None if text_delta is None else text_delta.detach().clone().clamp_(-eps_text, eps_text)
        within = Budget(threat_model.step, partial(threat_model.project, images=clean))
        of_images = rule.mover(within, step_size_image, steps)
        of_texts = rule.mover(_text_budget(eps_text), step_size_text, steps)
        checks = FiniteChecks(at_once=clean.device.type == "cpu")
        for step in range(steps):
            seen = points if step == 0 else [delta]
            at = [clean + point for point in seen]
            values, image_gradient, text_gradient = ascended(loss, at, text, step, checks)
            delta = of_images.move(delta, image_gradient, values)
            if text is not None and text_gradient is not None:
                text = of_texts.move(text[None], text_gradient[None], values.sum())[0]
        checks.conclude()
        adversarial = (clean + threat_model.project(delta, clean)).clamp(*threat_model.bounds)
        threat_model.check(adversarial, clean)
    return adversarial, text


def _starts(clean: Tensor, threat_model: ThreatModel, generator: torch.Generator | None, count: int) -> list[Tensor]:
    """Perturbations to start from: none, or random points."""
    if generator is None:
        return [torch.zeros_like(clean)]
    return [threat_model.random_start(clean, generator) for _ in range(count)]


def _text_budget(eps: float) -> Budget:
    """Entries of at most eps; steps by the sign of the gradient."""
    return Budget(
        lambda position, gradient, size: position + size * gradient.sign(),
        lambda position: position.clamp(-eps, eps),
    )


def _check_steps(steps: int, step_size_image: float, eps_text: float, step_size_text: float) -> None:
    check_steps(steps, least=0)
    for name, value in (("step_size", step_size_image), ("eps_text", eps_text), ("step_size_text", step_size_text)):
        if not 0.0 <= value < math.inf:
            raise ValueError(f"expected {name} >= 0 and finite, got {value}: give it in the units of what it changes")


def check_steps(steps: int, *, least: int = 1) -> int:
    """A number of ascent steps.

    Raises:
        ValueError: If it is below the least, or would not end.
    """
    if steps < least:
        raise ValueError(f"expected steps >= {least}, got {steps}" + ": 0 means clean images" * (least == 0))
    if steps > MAX_STEPS:
        raise ValueError(f"expected steps <= {MAX_STEPS:,}, got {steps}: some tens find what an attack can find")
    return steps


def pgd(
    logits: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    threat_model: ThreatModel,
    steps: int = 20,
    step_size: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Projected gradient descent on the cross-entropy of a classifier, by default PGD-20.

    Args:
        logits: Classifier on images in pixel units, `(N, ...)` to `(N, K)`.
        images: Clean images.
        labels: Classes `(N,)` of the classifier's level.
        threat_model: Norm, budget and bounds.
        steps: Number of steps.
        step_size: Length of a step; 2.5·eps/steps if not given, which can reach every point of the budget.
        generator: If given, start at random.

    Returns:
        Adversarial images, detached.
    """
    if step_size is None:
        step_size = 2.5 * threat_model.eps / max(steps, 1)

    def loss(pixels: Tensor) -> Tensor:
        # A clone made here may be saved for the backward pass even if `labels` came from inference mode.
        return F.cross_entropy(logits(pixels).float(), labels.clone(), reduction="none")

    return perturb(loss, images, threat_model, steps, step_size, generator)
