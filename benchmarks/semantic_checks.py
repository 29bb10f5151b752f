"""Sampled misalignment: do labels change near a semantic transformation, on its stable part and off it?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hrvlm.certificates import AffineScorer, stable_intervals
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.certify import semantic_partition

ANGLES, DIRECTIONS = 12, 8


def sampled_misalignment(
    scorer: AffineScorer, features: Tensor, prompts: tuple[Tensor, Tensor], deltas: Sequence[float]
) -> dict[str, list[float | None]]:
    """Share of sampled misalignments that keep the label: on the stable part (must be 1), and on the whole range.

    At random angles the embedding is moved by `delta` along the sphere, towards its strongest rivals and at random.

    Args:
        scorer: classifier of unit embeddings.
        features: `(N, D)` unit embeddings.
        prompts: source and target embeddings `(N, D)`.
        deltas: misalignment bounds.

    Returns:
        "conditional_invariance" (None where nothing is stable) and "overall_invariance", one number per delta.
    """
    generator = torch.Generator().manual_seed(0)
    partition, rotation = semantic_partition(scorer, features, *prompts), Rotation.of(features, *prompts)
    shares = torch.rand(ANGLES, len(features), generator=generator, dtype=torch.float64)
    angles = partition.start + shares * (partition.stop - partition.start)
    points = rotation.point(angles).flatten(0, 1)
    scores = scorer.scores(points)
    label, rivals = scores.argmax(dim=1), scores.topk(1 + DIRECTIONS // 2, dim=1).indices[:, 1:]
    ways = scorer.weight[rivals] - scorer.weight[label][:, None]
    random = torch.randn(len(points), DIRECTIONS // 2, points.shape[1], generator=generator, dtype=torch.float64)
    conditional: list[float | None] = []
    overall: list[float | None] = []
    for delta in deltas:
        kept = _kept(scorer, points, torch.cat([ways, random], dim=1), delta, label)
        stable = _inside(stable_intervals(scorer, features, *prompts, delta), angles).flatten()
        conditional.append(kept[stable].mean().item() if stable.any() else None)
        overall.append(kept.mean().item())
    return {"conditional_invariance": conditional, "overall_invariance": overall}


def _kept(scorer: AffineScorer, points: Tensor, ways: Tensor, delta: float, label: Tensor) -> Tensor:
    """Share `(M,)` of directions `(M, W, D)` in which unit points `(M, D)` moved by delta keep their label."""
    tangent = ways - (ways * points[:, None]).sum(dim=-1, keepdim=True) * points[:, None]
    tangent = torch.nn.functional.normalize(tangent, dim=-1)
    turn = 2 * torch.tensor(delta / 2, dtype=torch.float64).asin()
    moved = turn.cos() * points[:, None] + turn.sin() * tangent
    predicted = scorer.predict(moved.flatten(0, 1)).unflatten(0, moved.shape[:2])
    return (predicted == label[:, None]).double().mean(dim=1)


def _inside(intervals: list[list[tuple[float, float, int]]], angles: Tensor) -> Tensor:
    """Whether angles `(A, N)` lie strictly inside one of the image's intervals, by more than rounding."""
    inside = torch.zeros_like(angles, dtype=torch.bool)
    for i, pieces in enumerate(intervals):
        for start, stop, _ in pieces:
            low, high = min(start, stop) + 1e-9, max(start, stop) - 1e-9
            inside[:, i] |= (angles[:, i] > low) & (angles[:, i] < high)
    return inside
