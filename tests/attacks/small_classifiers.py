"""Classifiers on 8-pixel images, small enough for every attack at its full length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hrvlm.attacks import AttackSettings

QUICK = AttackSettings(cw_steps=30, cw_c=[1.0, 100.0], apgd_steps=10, fab_steps=5, square_queries=30)
BUDGETS = {"linf": 0.03, "l2": 0.3}


def images(count: int = 12, seed: int = 0, low: float = 0.0, high: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, 3, 8, 8, generator=generator)


def network(classes: int = 4, seed: int = 0) -> nn.Sequential:
    """In training mode but for a frozen batch norm; one parameter frozen, one with a gradient."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.GELU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(54, classes),
        )
        net[1].running_mean.uniform_(-0.1, 0.1)
        nn.init.normal_(net[5].weight, std=0.5)
    net[1].eval()
    net[0].weight.requires_grad_(False)
    net[5].bias.grad = torch.ones(classes)
    return net


class Linear:
    """Scores <w_k, x> + b, whose smallest change that breaks an image is known in closed form."""

    def __init__(self, classes: int, offset: float = 0.0, seed: int = 1) -> None:
        self.weight = torch.randn(classes, 192, generator=torch.Generator().manual_seed(seed))
        self.offset = offset

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1) @ self.weight.T.to(pixels.dtype) + self.offset

    def distances(self, pixels: Tensor, norm: str) -> Tensor:
        """Distance (N,) to the nearest decision boundary, which no attack can beat."""
        scores = self(pixels.double())
        labels = scores.argmax(dim=1)
        weight = self.weight.double()
        dual = (weight[labels][:, None] - weight[None]).norm(p=1 if norm == "linf" else 2, dim=2)
        gaps = scores.amax(dim=1, keepdim=True) - scores
        return (gaps / dual.clamp_min(1e-9)).masked_fill(gaps == 0, torch.inf).amin(dim=1)
