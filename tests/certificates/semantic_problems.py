"""Random semantic problems and plain NumPy references: explicit points, explicit distances, all class pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hrvlm.certificates import AffineScorer, SemanticPartition

CURV = 0.7


@dataclass
class Problem:
    kind: str
    classes: np.ndarray  # (K, D) text embeddings, or text points in the ball
    images: np.ndarray  # (N, D)
    source: np.ndarray
    target: np.ndarray

    @property
    def scorer(self) -> AffineScorer:
        points = torch.from_numpy(self.classes)
        if self.kind == "cosine":
            return AffineScorer.cosine(points)
        return AffineScorer.poincare(points, torch.from_numpy(self.images).norm(dim=1), CURV)

    @property
    def arguments(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return torch.from_numpy(self.images), torch.from_numpy(self.source), torch.from_numpy(self.target)

    def path(self, i: int, angles: np.ndarray) -> np.ndarray:
        """gamma(phi) of image i, from the definition."""
        e1 = self.source / np.linalg.norm(self.source)
        rest = self.target - (self.target @ e1) * e1
        e2 = rest / np.linalg.norm(rest)
        z = self.images[i]
        outside = z - (z @ e1) * e1 - (z @ e2) * e2
        rho = np.hypot(z @ e1, z @ e2)
        return rho * (np.cos(angles)[:, None] * e1 + np.sin(angles)[:, None] * e2) + outside

    def scores(self, points: np.ndarray) -> np.ndarray:
        """Cosine, or minus a monotone function of the Poincaré distance, from the textbook formula."""
        if self.kind == "cosine":
            return points @ self.classes.T
        gap = ((points[:, None] - self.classes[None]) ** 2).sum(-1)
        factor = (1 - CURV * (points**2).sum(-1))[:, None] * (1 - CURV * (self.classes**2).sum(-1))
        return -np.arccosh(1 + 2 * CURV * gap / factor)


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def random_problem(kind: str, num_classes: int, dimension: int, num_images: int, seed: int) -> Problem:
    rng = np.random.default_rng([seed, num_classes, dimension])
    classes, images = unit(rng, num_classes, dimension), unit(rng, num_images, dimension)
    if kind == "poincare":
        limit = 0.95 / np.sqrt(CURV)
        classes *= rng.uniform(0.05, limit, (num_classes, 1))
        images *= rng.uniform(0.05, limit, (num_images, 1))
    return Problem(kind, classes, images, unit(rng, dimension) * 3, unit(rng, dimension) * 0.2)


def pairwise_intervals(problem: Problem, i: int, start: float, stop: float) -> list[tuple[float, float, int]]:
    """All O(K^2) crossings from three samples of each score, labels at the midpoints, equal neighbours merged."""
    probe = np.array([0.0, np.pi / 2, np.pi])
    weight, bias = problem.scorer.weight.numpy(), problem.scorer.bias.numpy()
    bias = bias if bias.ndim == 1 else bias[i]
    s0, s1, s2 = problem.path(i, probe) @ weight.T + bias
    a, c = (s0 - s2) / 2, (s0 + s2) / 2
    b = s1 - c
    j, k = np.triu_indices(len(a), 1)
    da, db, dc = a[j] - a[k], b[j] - b[k], c[j] - c[k]
    r, psi = np.hypot(da, db), np.arctan2(db, da)
    real = np.abs(dc) < r
    turn = np.arccos(-dc[real] / r[real])
    roots = np.concatenate([psi[real] + turn, psi[real] - turn])
    low, high = min(start, stop), max(start, stop)
    roots = np.concatenate([roots + 2 * np.pi * m for m in (-2, -1, 0, 1, 2)])
    edges = np.concatenate([[low], np.sort(roots[(roots > low) & (roots < high)]), [high]])
    middle = (edges[:-1] + edges[1:]) / 2
    labels = problem.scores(problem.path(i, middle)).argmax(1)
    pieces: list[tuple[float, float, int]] = []
    for x, y, label in zip(edges[:-1], edges[1:], labels, strict=True):
        if pieces and pieces[-1][2] == label:
            pieces[-1] = (pieces[-1][0], y, label)
        else:
            pieces.append((x, y, label))
    return pieces if start <= stop else [(y, x, label) for x, y, label in reversed(pieces)]


def assert_no_nan(partition: SemanticPartition) -> None:
    for name in ("start", "stop", "invariance", "extent", "smallest_margin", "breaks"):
        assert not getattr(partition, name).isnan().any(), name
