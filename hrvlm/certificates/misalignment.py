"""Bounded misalignment: where a semantic certificate survives when text and image disagree a little.

Source: "Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026 (arXiv 2606.18839).
If the true embedding e lies on the sphere within ``||e - gamma(phi)|| <= delta``, a margin between classes y and j
moves by at most ``delta ||w_y - w_j||``. The label at phi is stable when its margin over every other class exceeds
that. Per class this is a cosine inequality, so the stable part of an interval is an intersection of arcs, found here in
closed form as the complement of a union of arcs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from hrvlm.certificates.affine import AffineScorer
from hrvlm.certificates.envelope import Waves
from hrvlm.certificates.intervals import SemanticPartition, chunks
from hrvlm.certificates.rotation import Rotation
from hrvlm.certificates.semantic import Extent, semantic_partition


def stable_coverage(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    delta: float,
    *,
    target_extent: Extent = None,
) -> Tensor:
    """Share of the range where no e on the sphere with `||e - gamma(phi)|| <= delta` has another label than gamma(phi).

    Args:
        scorer: classifier.
        features: `(N, D)` embeddings.
        source: `(D,)` embedding of the source prompt.
        target: `(D,)` embedding of the target prompt.
        delta: misalignment bound, Euclidean, in the units of the features; >= 0.
        target_extent: as in `semantic_partition`.

    Returns:
        `(N,)` in [0, 1]; 0 where nothing is certified or the winner has an identical twin; 1 or 0 for an empty range.

    Raises:
        ValueError: if delta is negative or not finite, or shapes do not fit.
    """
    partition = semantic_partition(scorer, features, source, target, target_extent=target_extent)
    coverage, length = torch.zeros_like(partition.start), (partition.stop - partition.start).abs()
    for piece in _pieces(scorer, features, source, target, delta, partition):
        whole = length[piece.rows]
        stable = (piece.high - piece.low).clamp(min=0).sum(dim=1)
        coverage[piece.rows] += torch.where(
            whole > 0, stable / torch.where(whole > 0, whole, 1.0), piece.begins.double()
        )
    return coverage.clamp(max=1.0)


def stable_intervals(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    delta: float,
    *,
    target_extent: Extent = None,
) -> list[list[tuple[float, float, int]]]:
    """Stable intervals (from, to, label) of each image, radians along its range; the rest is the uncertainty set.

    Takes the arguments of `stable_coverage`; the lengths of the intervals add up to the coverage.
    """
    partition = semantic_partition(scorer, features, source, target, target_extent=target_extent)
    sign = torch.where(partition.stop < partition.start, -1.0, 1.0)
    found: list[list[tuple[float, float, int]]] = [[] for _ in range(len(partition))]
    for piece in _pieces(scorer, features, source, target, delta, partition):
        for row, column in (piece.high > piece.low).nonzero().tolist():
            i = int(piece.rows[row])
            begin, end = (float(piece.origin[row] + sign[i] * edge[row, column]) for edge in (piece.low, piece.high))
            found[i].append((begin, end, int(piece.label[row])))
    return found


class _Piece(NamedTuple):
    """Stable arcs within one interval of each of some images: `high > low` marks the arcs, angles travelled in it."""

    rows: Tensor  # (n,) images
    origin: Tensor  # (n,) angle in the plane where the interval begins
    label: Tensor  # (n,)
    low: Tensor  # (n, 2U + 1)
    high: Tensor  # (n, 2U + 1)
    begins: Tensor  # (n,) whether the very first point is stable


def _pieces(
    scorer: AffineScorer, features: Tensor, source: Tensor, target: Tensor, delta: float, partition: SemanticPartition
) -> Iterator[_Piece]:
    """Stable arcs, one interval of the partition after the other; nothing where the partition certifies nothing."""
    if not 0 <= delta < math.inf:
        raise ValueError(f"expected delta >= 0 and finite, got {delta}: give a Euclidean bound in feature units")
    if not bool((partition.labels >= 0).any()):
        return
    rotation = Rotation.of(features, source, target)
    direction = torch.where(partition.stop < partition.start, -1.0, 1.0).to(partition.start)
    for part in chunks(len(features), scorer.num_classes):
        waves = rotation.rows(part).waves(scorer.rows(part), direction[part])
        for f in range(partition.labels.shape[1]):
            rows = part.start + (partition.labels[part, f] >= 0).nonzero().squeeze(1)
            if rows.numel():
                yield _piece(scorer, waves, part.start, rows, f, delta, partition)


def _piece(
    scorer: AffineScorer, waves: Waves, begin: int, rows: Tensor, f: int, delta: float, partition: SemanticPartition
) -> _Piece:
    """Stable arcs of interval f of images `rows`, whose waves lie at `rows - begin`."""
    origin, label = partition.breaks[rows, f], partition.labels[rows, f]
    winner = torch.searchsorted(scorer.first, label)
    local = waves.rows(rows - begin).turned((origin - partition.start[rows]).abs()).minus(winner)
    slack = delta * _distances(scorer.weight[scorer.first], winner)
    # The winner does not compete with itself, except through an identical twin, whose margin of 0 is never enough.
    slack.scatter_(1, winner[:, None], torch.where(scorer.repeated[winner], math.inf, -math.inf)[:, None].to(slack))
    low, high = _arcs(local, slack, (partition.breaks[rows, f + 1] - origin).abs())
    begins = (local.cosine + local.offset > slack).all(dim=1)
    return _Piece(rows, origin, label, low, high, begins)


def _distances(weight: Tensor, winner: Tensor) -> Tensor:
    """Distances `(n, U)` of the winners' weights to all weights, by differences: a product form would cancel."""
    distinct, position = winner.unique(return_inverse=True)
    return torch.cdist(weight[distinct], weight, compute_mode="donot_use_mm_for_euclid_dist")[position]


def _arcs(margin: Waves, slack: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Where on [0, length] all margins exceed their slack.

    Margin j fails where ``R cos(x - psi) <= slack - offset``: on the arc from psi + h to psi + 2 pi - h with
    ``h = arccos((slack - offset) / R)``. A range of at most half a turn from 0 meets that arc or the one a turn before.

    Returns:
        low, high `(n, 2U + 1)`: the gaps between the failing arcs in increasing order; those with low < high are real.
    """
    need, amplitude = slack - margin.offset, torch.hypot(margin.cosine, margin.sine)
    half = (need / torch.where(amplitude > 0, amplitude, 1.0)).clamp(-1, 1).acos()
    phase = torch.atan2(margin.sine, margin.cosine)
    far = 4 * math.pi
    never, always = need < -amplitude, need >= amplitude
    low = torch.where(always, -far, torch.where(never, 2 * far, phase + half))
    high = torch.where(always, 2 * far, torch.where(never, 2 * far, phase + 2 * math.pi - half))
    zero, end = torch.zeros_like(length)[:, None], length[:, None]
    low, order = torch.cat([low, low - 2 * math.pi], dim=1).clamp(min=zero).clamp(max=end).sort(dim=1)
    high = torch.cat([high, high - 2 * math.pi], dim=1).clamp(min=zero).clamp(max=end).gather(1, order)
    return torch.cat([zero, high.cummax(dim=1).values], dim=1), torch.cat([low, end], dim=1)
