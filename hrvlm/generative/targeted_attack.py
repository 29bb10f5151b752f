"""Attacks that change a picture until a model gives a wanted answer, as jailbreak images do.

The gradient is that of the answer's log-probability, through all its tokens. Against a smoothed model it is averaged
over noisy copies (expectation over transformation, Athalye et al., ICML 2018, arXiv 1707.07397), as in "Provably Robust
Deep Learning via Adversarially Trained Smoothed Classifiers", Salman et al., NeurIPS 2019 (arXiv 1906.04584).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hrvlm.attacks.perturbation import frozen_parameters, perturb
from hrvlm.attacks.threat_model import ThreatModel
from hrvlm.generative.generator import Generator


def attack_towards(
    generator: Generator,
    images: Tensor,
    answers: Sequence[str],
    threat_model: ThreatModel,
    *,
    steps: int = 40,
    step_size: float | None = None,
    sigma: float = 0.0,
    samples: int = 1,
    seed: int = 0,
    patch: int | None = None,
) -> Tensor:
    """Perturb pictures so that a model gives wanted answers.

    Args:
        generator: The model; it must offer `log_probability`.
        images: `(N, 3, H, W)` clean pictures within the bounds of the threat model.
        answers: N wanted answers, one per picture.
        threat_model: Norm, budget and bounds.
        steps: Ascent steps.
        step_size: Length of a step in pixel units; 2.5 eps / steps if None, which can reach every point of the budget.
        sigma: Standard deviation of the noise of a smoothed model; 0 attacks the plain one.
        samples: Noisy copies that a gradient is averaged over, fresh in every step; not used without noise.
        seed: Seed of that noise.
        patch: Side in pixels of a square that alone is changed, where the answer's probability first rises most
            steeply; None changes all of the picture.

    Returns:
        Perturbed pictures, detached, within budget and bounds.

    Raises:
        ValueError: If answers do not fit the pictures, a number is out of range, or pictures leave the bounds.
        NonFiniteError: If a loss or gradient is NaN or infinite.
    """
    if len(answers) != len(images):
        raise ValueError(f"expected one answer per picture, got {len(answers)} for {len(images)}")
    if sigma < 0 or samples < 1:
        raise ValueError(f"expected sigma >= 0 and samples >= 1, got sigma={sigma}, samples={samples}")
    copies = samples if sigma > 0 else 1
    noise = torch.Generator().manual_seed(seed)
    wanted = [answer for answer in answers for _ in range(copies)]

    def loss(pixels: Tensor) -> Tensor:
        noisy = pixels.repeat_interleave(copies, dim=0)
        if sigma > 0:
            noisy = noisy + sigma * torch.randn(noisy.shape, generator=noise).to(noisy)
        return generator.log_probability(noisy, wanted).view(len(answers), copies).mean(dim=1)

    length = 2.5 * threat_model.eps / max(steps, 1) if step_size is None else step_size
    with frozen_parameters(generator):
        if patch is None:
            return perturb(loss, images, threat_model, steps, length)
        shown = steepest_square(loss, images, patch)

        def covered(pixels: Tensor) -> Tensor:
            return torch.where(shown, pixels, images)

        return covered(perturb(lambda pixels: loss(covered(pixels)), images, threat_model, steps, length))


def steepest_square(loss: Callable[[Tensor], Tensor], images: Tensor, side: int) -> Tensor:
    """The square of each picture in which the gradient of a loss is largest, by the sum of absolute values.

    Args:
        loss: Maps images `(N, C, H, W)` to a loss per image `(N,)`.
        images: `(N, C, H, W)`.
        side: Of the square, in pixels.

    Returns:
        Booleans `(N, 1, H, W)`, true within the square; the first one of equals.

    Raises:
        ValueError: If the square does not fit into the pictures.
    """
    height, width = images.shape[-2:]
    if not 1 <= side <= min(height, width):
        raise ValueError(f"expected a patch of 1 to {min(height, width)} pixels, got {side}")
    with torch.inference_mode(False), torch.enable_grad():
        pixels = images.detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(pixels).sum(), pixels)
    steepness = F.avg_pool2d(gradient.abs().sum(dim=1, keepdim=True), side, stride=1)
    columns = steepness.shape[-1]
    best = steepness.flatten(1).argmax(dim=1)
    top, left = (best // columns).view(-1, 1, 1, 1), (best % columns).view(-1, 1, 1, 1)
    row = torch.arange(height, device=images.device).view(1, 1, -1, 1)
    column = torch.arange(width, device=images.device).view(1, 1, 1, -1)
    return (row >= top) & (row < top + side) & (column >= left) & (column < left + side)


@torch.no_grad()
def easiest_answers(generator: Generator, images: Tensor, answers: Sequence[str]) -> list[str]:
    """The wanted answer that the model finds most probable for each picture: the best one to push towards.

    Args:
        generator: The model.
        images: `(N, 3, H, W)`.
        answers: Any number of wanted answers, at least one.

    Raises:
        ValueError: If there is no answer.
    """
    if not answers:
        raise ValueError("expected at least one wanted answer, got none")
    scores = torch.stack([generator.log_probability(images, [answer] * len(images)) for answer in answers])
    return [answers[int(best)] for best in scores.nan_to_num(nan=-torch.inf).argmax(dim=0)]
