"""Attempts to refute semantic certificates by sampling; an empty answer is evidence, not proof."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.geometry.labels import labels_of

Interval = tuple[float, float, int]
_ROUNDING = 1e-10  # relative margin by which another class must win to count, so that rounding at a crossing does not


@dataclass(frozen=True)
class Violation:
    """A point at which a stated label loses.

    Attributes:
        image: position of the image.
        angle: radians in the plane.
        stated: label of the interval.
        predicted: class with the highest score; -1 where scores are not finite.
        margin: by how much it wins.
    """

    image: int
    angle: float
    stated: int
    predicted: int
    margin: float


def check_semantic_dense(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    intervals: Sequence[Sequence[Interval]],
    *,
    samples: int = 256,
) -> list[Violation]:
    """Classify the rotated embedding at evenly spaced angles inside every stated interval, ends included.

    Args:
        scorer: classifier.
        features: `(N, D)` embeddings.
        source: `(D,)` embedding of the source prompt.
        target: `(D,)` embedding of the target prompt.
        intervals: per image its (from, to, label), as `SemanticPartition.intervals` or a record states them.
        samples: angles per interval, at least 2.

    Raises:
        ParallelVectorsError: if the prompts span no plane.
    """
    rotation = Rotation.of(features, source, target)
    found: list[Violation] = []
    for i, pieces in enumerate(intervals):
        for start, stop, label in pieces:
            angles = torch.linspace(start, stop, samples, dtype=torch.float64, device=features.device)
            points = rotation.rows(slice(i, i + 1)).point(angles[:, None])[:, 0]
            found += _losses(scorer, points, i, angles, label)
    return found


def check_stable_sampled(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    delta: float,
    intervals: Sequence[Sequence[Interval]],
    *,
    samples: int = 16,
    generator: torch.Generator | None = None,
) -> list[Violation]:
    """Attack stable intervals: move along the sphere by `delta` towards each rival class and at random.

    Args:
        scorer: classifier.
        features: `(N, D)` embeddings.
        source: `(D,)` embedding of the source prompt.
        target: `(D,)` embedding of the target prompt.
        delta: misalignment bound of the intervals.
        intervals: per image its (from, to, label), as `stable_intervals` gives them.
        samples: angles per interval and random directions per angle.
        generator: source of the random directions, on the CPU.

    Raises:
        ParallelVectorsError: if the prompts span no plane.
    """
    rotation = Rotation.of(features, source, target)
    found: list[Violation] = []
    for i, pieces in enumerate(intervals):
        for start, stop, label in pieces:
            random = torch.randn(samples, features.shape[1], generator=generator, dtype=torch.float64)
            ways = torch.cat([scorer.weight - scorer.weight[label], random.to(scorer.weight)])
            for angle in torch.linspace(start, stop, samples, dtype=torch.float64, device=features.device):
                point = rotation.rows(slice(i, i + 1)).point(angle[None])[0]
                moved = _along_sphere(point, ways, delta)
                found += _losses(scorer, moved, i, angle.expand(len(moved)), label)
    return found


def _along_sphere(point: Tensor, ways: Tensor, delta: float) -> Tensor:
    """Points `(M, D)` at chord distance delta from `point` on its sphere, along tangents of the rows of `ways`."""
    radius = point.norm()
    tangent = ways - (ways @ point)[:, None] * point / radius.square()
    length = tangent.norm(dim=1)
    tangent = tangent[length > 1e-9] / length[length > 1e-9, None]
    turn = 2 * math.asin(min(1.0, delta / 2 / float(radius)))
    return math.cos(turn) * point + math.sin(turn) * radius * tangent


def _losses(scorer: AffineScorer, points: Tensor, i: int, angles: Tensor, label: int) -> list[Violation]:
    """Points `(M, D)` of image i at which `label` loses by more than rounding."""
    bias = scorer.bias if scorer.bias.dim() == 1 else scorer.bias[i]
    scores = points @ scorer.weight.T + bias
    winner = labels_of(scores)
    margin = scores.amax(dim=1) - scores[:, label]
    lost = ~(margin <= _ROUNDING * scores.abs().amax(dim=1)) | (winner < 0)  # also where a score is no number
    return [
        Violation(i, float(angles[m]), label, int(winner[m]), float(margin[m]))
        for m in lost.nonzero().squeeze(1).tolist()
    ]
