"""Fine-tuning steps written by hand in plain PyTorch, without objectives, attacks or a trainer of this project.

What benchmarks/bare_loop.py compares with. The arithmetic is that of `TeCoAObjective` and `HierarchicalObjective` with
their usual settings, in the same precision, so that both give the same losses on the same batches
(`tests/test_bare_loop.py`); trees only lend their indices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrvlm.objectives.groups import candidate_mask
from hrvlm.trees import ClassTree

CAP, TEXT_EPS, GAP, NEAR, VICINITY = math.atanh(0.98), 2e-4, 0.05, 1.0, 0.5


@dataclass
class Loop:
    """What a step needs: a model and its optimiser, and how the perturbation is sought.

    Attributes:
        clip: An open_clip model.
        mean, std: Of its pixels, `(3, 1, 1)`.
        hidden: Texts before the projection, `(nodes, W)`.
        trained: Parameters that the optimiser moves.
        rate, decay, warmup, total: Of AdamW and its schedule.
        eps, steps, step_size: Of the perturbation, in pixel units.
        random_start: Whether it starts at random.
    """

    clip: Any
    mean: Tensor
    std: Tensor
    hidden: Tensor
    trained: Sequence[nn.Parameter]
    rate: float = 5e-4
    decay: float = 1e-4
    warmup: int = 20
    total: int = 1000
    eps: float = 4 / 255
    steps: int = 3
    step_size: float = 2 / 255
    random_start: bool = True

    def __post_init__(self) -> None:
        matrices, others = [p for p in self.trained if p.ndim > 1], [p for p in self.trained if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": self.decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=self.rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._factor)

    def _factor(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))))

    def features(self, images: Tensor) -> Tensor:
        """Image features `(B, D)`."""
        pixels = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found: Tensor = self.clip.encode_image(pixels)
        return found

    def texts(self) -> Tensor:
        """Text features `(nodes, D)`."""
        projected: Tensor = self.hidden @ self.clip.text_projection
        return projected

    def step(self, loss: Tensor) -> float:
        """One step of the optimiser down a loss; what the loss was."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()


def tecoa_step(loop: Loop, images: Tensor, labels: Tensor) -> float:
    """Perturbs, then one step down the cross-entropy with fixed texts."""
    with torch.no_grad():
        texts = F.normalize(loop.texts(), dim=-1)
        scale = loop.clip.logit_scale.exp().clamp_max(100.0)

    def loss(pixels: Tensor) -> Tensor:
        return F.cross_entropy(scale * (F.normalize(loop.features(pixels), dim=-1) @ texts.T), labels)

    delta = torch.zeros_like(images)
    if loop.random_start:
        delta.uniform_(-loop.eps, loop.eps)
    delta = (images + delta).clamp(0.0, 1.0) - images
    for _ in range(loop.steps):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(images + delta), delta)
        delta = (delta.detach() + loop.step_size * gradient.sign()).clamp(-loop.eps, loop.eps)
        delta = (images + delta).clamp(0.0, 1.0) - images
    return loop.step(loss((images + delta).clamp(0.0, 1.0)))


class Ball(nn.Module):
    """Learned scales and temperature of points in the Poincaré ball of curvature −1."""

    def __init__(self, image_scale: float, text_scales: Sequence[float], temperature: float) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.tensor(math.log(image_scale)))
        self.text = nn.Parameter(torch.tensor([math.log(scale) for scale in text_scales]))
        self.temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    @staticmethod
    def lift(features: Tensor, scale: Tensor) -> Tensor:
        """Points `(N, D)` of features, their radius bent below that of norm .98."""
        tangent = (scale * features).double()
        radius, knee = tangent.norm(dim=-1, keepdim=True), 0.8 * CAP
        bent = knee + (CAP - knee) * torch.tanh((radius - knee) / (CAP - knee))
        bent = torch.where(radius > knee, bent, radius)
        return (torch.tanh(bent) * tangent / radius).float()

    @staticmethod
    def midpoints(points: Tensor, members: Tensor) -> Tensor:
        """Einstein midpoints `(M, D)` of groups of points `(N, D)`, members `(M, N)`."""
        u = points.double()
        factor = 2.0 / (1.0 - u.square().sum(-1, keepdim=True))
        weights = members.double() / members.sum(-1, keepdim=True)
        vector, total = weights @ (factor * u), weights @ (factor - 1.0)
        return (vector / (total + (total.square() - vector.square().sum(-1, keepdim=True)).sqrt())).float()

    def scores(self, points: Tensor, texts: Tensor) -> Tensor:
        """−distance / temperature, `(N, M)`."""
        u, v = points.double(), texts.double()
        squares = u.square().sum(-1, keepdim=True), v.square().sum(-1, keepdim=True)
        gaps = squares[0] + squares[1].T - 2.0 * (u @ v.T)
        ratio = (gaps / ((1.0 - squares[0]) * (1.0 - squares[1].T))).float().clamp_min(1e-30)
        distance = torch.log1p(2.0 * (ratio + (ratio + ratio.square()).sqrt()))
        return -distance / self.temperature.exp().clamp_min(0.01)


class Levels:
    """A tree's nodes as one list, leaves first: levels, parents, and which compete with which."""

    def __init__(self, tree: ClassTree, columns: Tensor) -> None:
        """`columns` are the places of the tree's nodes among all texts."""
        self.columns, self.parents = columns, [tree.parents(level) for level in range(len(tree.levels) - 1)]
        self.sizes = [len(level.ids) for level in tree.levels]
        self.starts = [sum(self.sizes[:level]) for level in range(len(self.sizes))]
        self.candidates = candidate_mask(tree, "both")
        self.weights = [1.0 - level / len(self.sizes) for level in range(len(self.sizes))]

    def loss(self, ball: Ball, points: Tensor, texts: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted alignment of all levels, and the hinges beside it; images `(B, D)`, the tree's texts `(T, D)`."""
        nodes, group = labels.unique(return_inverse=True)
        rows, averages = [points], ball.midpoints(points, _members(group, len(nodes)))
        targets, above = [labels], list[Tensor]()
        for level, parents in enumerate(self.parents):
            nodes, parent = parents[nodes].unique(return_inverse=True)
            above.append(parent[group] if level == 0 else parent)
            averages = ball.midpoints(averages, _members(parent, len(nodes)))
            rows.append(averages)
            targets.append(self.starts[level + 1] + nodes)
        alignment = hinges = points.new_zeros(())
        for weight, row, target in zip(self.weights, rows, targets, strict=True):
            scores = ball.scores(row, texts).masked_fill(~self.candidates[target], float("-inf"))
            alignment = alignment + weight * F.cross_entropy(scores, target)
        for row, upper, parent in zip(rows, rows[1:], above, strict=False):
            hinges = hinges + _order(row.norm(dim=-1), upper.norm(dim=-1)[parent])
        norms = [texts[a : a + n].norm(dim=-1) for a, n in zip(self.starts, self.sizes, strict=True)]
        for lower, upper, parents in zip(norms, norms[1:], self.parents, strict=False):
            hinges = hinges + _order(lower, upper[parents])
        u, v = points.double(), texts[labels].double()
        scale = ((1.0 - u.square().sum(-1)) * (1.0 - v.square().sum(-1))).sqrt()
        distance = (2.0 * torch.asinh((u - v).norm(dim=-1) / scale)).float()
        return alignment, hinges + VICINITY * (distance - NEAR).clamp_min(0.0).mean()


def _members(group: Tensor, count: int) -> Tensor:
    return F.one_hot(group, count).T.float()


def _order(lower: Tensor, upper: Tensor) -> Tensor:
    return (upper - lower + GAP).clamp_min(0.0).mean()


def hierarchical_step(
    loop: Loop, ball: Ball, trees: Sequence[Levels], levels: Tensor, images: Tensor, labels: Tensor
) -> float:
    """Perturbs images and texts for all levels at once, then one step down all terms of the loss.

    Args:
        loop: See `Loop`; the ball's parameters are among those trained.
        ball: Head.
        trees: Of the forest.
        levels: Level of every text `(nodes,)`.
        images: `(B, 3, H, W)` in [0, 1].
        labels: Leaves `(B,)`.
    """

    def loss(pixels: Tensor, texts: Tensor, part: Callable[[tuple[Tensor, Tensor]], Tensor]) -> Tensor:
        points, nodes = (
            ball.lift(loop.features(pixels), ball.image.exp()),
            ball.lift(texts, ball.text.exp()[levels, None]),
        )
        return torch.stack([part(tree.loss(ball, points, nodes[tree.columns], labels)) for tree in trees]).sum()

    with torch.no_grad():
        texts = loop.texts()
    delta, text_delta = torch.zeros_like(images), torch.zeros_like(texts)
    if loop.random_start:
        delta.uniform_(-loop.eps, loop.eps)
    delta = (images + delta).clamp(0.0, 1.0) - images
    for _ in range(loop.steps):
        moved = [delta.requires_grad_(), text_delta.requires_grad_()]
        found = torch.autograd.grad(loss(images + delta, texts + text_delta, lambda parts: parts[0]), moved)
        delta = (delta.detach() + loop.step_size * found[0].sign()).clamp(-loop.eps, loop.eps)
        delta = (images + delta).clamp(0.0, 1.0) - images
        text_delta = (text_delta.detach() + TEXT_EPS * found[1].sign()).clamp(-TEXT_EPS, TEXT_EPS)
    return loop.step(loss((images + delta).clamp(0.0, 1.0), loop.texts() + text_delta, sum))  # type: ignore[arg-type]
