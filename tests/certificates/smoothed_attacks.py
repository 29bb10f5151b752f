"""Attacks on the expected answer of a noisy classifier: APGD with cross-entropy and with targeted DLR, and plain PGD.

APGD and DLR: Croce and Hein, ICML 2020 (arXiv 2003.01690), here in l2 and with gradients averaged over noise. Pixels
may leave [0, 1]: certificates hold there too, so this only makes the attacks stronger.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]  # images (B, 3, H, W) -> what to raise, (B,)
Logits = Callable[[Tensor], Tensor]  # images (B, 3, H, W) -> logits (B, E, K) of E noisy copies


def projected(images: Tensor, centre: Tensor, eps: float) -> Tensor:
    moved = images - centre
    size = moved.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
    return centre + moved * (eps / size).clamp(max=1)


def gradient(loss: Loss, images: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        values = loss(leaf)
        (slope,) = torch.autograd.grad(values.sum(), leaf)
    size = slope.flatten(1).norm(dim=1).clamp(min=1e-20).view(-1, 1, 1, 1)
    return values.detach(), slope / size


def apgd(loss: Loss, centre: Tensor, eps: float, steps: int, generator: torch.Generator) -> Tensor:
    """Best images found in the ball; the step halves, back from the best, where a phase has improved on too little."""
    start = torch.randn(centre.shape, generator=generator)
    x = projected(centre + start * eps / start.flatten(1).norm(dim=1).view(-1, 1, 1, 1), centre, eps)
    size = torch.full((len(x), 1, 1, 1), 2.0 * eps)
    values, slope = gradient(loss, x)
    best, best_values, best_slope, previous = x, values, slope, x
    rises, phase = torch.zeros(len(x)), max(2, steps // 5)
    for step in range(1, steps + 1):
        ahead = projected(x + size * slope, centre, eps)
        x, previous = projected(x + 0.75 * (ahead - x) + 0.25 * (x - previous), centre, eps), x
        last = values
        values, slope = gradient(loss, x)
        rises += values > last
        better = values > best_values
        mask = better.view(-1, 1, 1, 1)
        best, best_slope = torch.where(mask, x, best), torch.where(mask, slope, best_slope)
        best_values = torch.maximum(values, best_values)
        if step % phase == 0:
            stuck = (rises < 0.75 * phase).view(-1, 1, 1, 1)
            size = torch.where(stuck, size / 2, size)
            x, slope = torch.where(stuck, best, x), torch.where(stuck, best_slope, slope)
            values, rises = torch.where(stuck.flatten(), best_values, values), torch.zeros(len(x))
    return best


def pgd(loss: Loss, centre: Tensor, eps: float, steps: int) -> Tensor:
    x = centre
    for _ in range(steps):
        x = projected(x + 2.5 * eps / steps * gradient(loss, x)[1], centre, eps)
    return x


def cross_entropy(logits: Logits, label: int) -> Loss:
    return lambda images: -logits(images).log_softmax(dim=2)[..., label].mean(dim=1)


def targeted_dlr(logits: Logits, label: int, targets: Tensor) -> Loss:
    """Difference of logits ratio towards one target per image, `(B,)`; with fewer than 4 classes the plain margin."""

    def loss(images: Tensor) -> Tensor:
        found = logits(images)
        aimed = found.gather(2, targets.view(-1, 1, 1).expand(-1, found.shape[1], 1)).squeeze(2)
        ranked = found.sort(dim=2, descending=True).values
        scale = ranked[..., 0] - (ranked[..., 2] + ranked[..., 3]) / 2 + 1e-12 if found.shape[2] > 3 else 1.0
        return ((aimed - found[..., label]) / scale).mean(dim=1)

    return loss


def attacked(
    logits: Logits, image: Tensor, label: int, eps: float, *, steps: int, num_targets: int, seed: int
) -> Tensor:
    """What PGD, APGD and APGD towards the T likeliest targets find within `eps` of an image: `(2 + T, 3, H, W)`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        likely = logits(image[None]).mean(dim=(0, 1)).argsort(descending=True)
    targets = likely[likely != label][:num_targets]
    one, many = image[None], image.expand(len(targets), -1, -1, -1)
    loss = cross_entropy(logits, label)
    found = [pgd(loss, one, eps, steps), apgd(loss, one, eps, steps, generator)]
    found.append(apgd(targeted_dlr(logits, label, targets), many, eps, steps, generator))
    return torch.cat(found).detach()


def votes_of(holding: Callable[[range], int], votes: int, most: int) -> int:
    """How many votes hold, counted in order and in parts, until they are more than `most`: then the rest is spared.

    Args:
        holding: how many votes of a range hold.
        votes: how many there are.
        most: more than these decide what is asked, whatever the rest says.
    """
    count, start = 0, 0
    while start < votes and count <= most:
        stop = min(votes, start + max(most + 1 - count, 8) + 4)
        count += holding(range(start, stop))
        start = stop
    return count
