"""Bounded misalignment: where a semantic certificate survives when text and image disagree a little.

Source: "Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026 (arXiv 2606.18839).
If the true embedding e lies on the sphere within ``||e - gamma(phi)|| <= delta``, a margin between classes y and j
moves by at most ``delta ||w_y - w_j||``. The label at phi is stable when its margin over every other class exceeds
that. Per class this is a cosine inequality, so the stable part of an interval is an intersection of arcs, found here in
closed form as the complement of a union of arcs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.certify import Extent, along_rotation
from hrvlm.certificates.kinds.semantic.stable_arcs import FailingArcs, StablePiece, stable_pieces

Pieces = list[tuple[float, float, int]]


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
        source: `(D,)` or `(N, D)` embedding of the source prompt.
        target: `(D,)` or `(N, D)` embedding of the target prompt.
        delta: misalignment bound, Euclidean, in the units of the features; >= 0.
        target_extent: as in `semantic_partition`.

    Returns:
        `(N,)` in [0, 1]; 0 where nothing is certified or the winner has a duplicate; 1 or 0 for an empty range.

    Raises:
        ValueError: if delta is negative or not finite, or shapes do not fit.
    """
    return coverage_sweep(scorer, features, source, target, [delta], target_extent=target_extent)[0]


def coverage_sweep(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    deltas: Sequence[float],
    *,
    target_extent: Extent = None,
) -> Tensor:
    """Stable coverage `(M, N)` for M misalignment bounds, from one partition; arguments as for `stable_coverage`."""
    scorer.check_points(features)
    rotation = Rotation.tolerant(features, source, target)
    return coverage_of(scorer, rotation, along_rotation(scorer, rotation, target_extent=target_extent), deltas)


def coverage_of(
    scorer: AffineScorer, rotation: Rotation, partition: SemanticPartition, deltas: Sequence[float]
) -> Tensor:
    """Stable coverage `(M, N)` of a partition along a rotation."""
    coverage = partition.start.new_zeros(len(deltas), len(partition))
    whole = (partition.stop - partition.start).abs()
    check_deltas(deltas)
    for piece in stable_pieces(scorer, rotation, partition) if deltas else ():
        for row, delta in zip(coverage, deltas, strict=True):
            add_stable_share(row, whole, piece, piece.failing(delta))
    return coverage.clamp(max=1.0)


def add_stable_share(coverage: Tensor, whole: Tensor, piece: StablePiece, arcs: FailingArcs) -> None:
    """Adds to the coverage `(N,)` at one delta the stable share of a piece of ranges of `whole` `(N,)` radians."""
    low, high, begins = piece.stable(arcs)
    stable, range_ = (high - low).clamp(min=0).sum(dim=1), whole[piece.rows]
    share = torch.where(range_ > 0, stable / torch.where(range_ > 0, range_, 1.0), begins.double())
    coverage[piece.rows] += share


def stable_intervals(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    delta: float,
    *,
    target_extent: Extent = None,
) -> list[Pieces]:
    """Stable intervals (from, to, label) of each image, radians along its range.

    Takes the arguments of `stable_coverage`; the lengths of the intervals add up to the coverage.
    """
    scorer.check_points(features)
    rotation = Rotation.tolerant(features, source, target)
    return stable_of(scorer, rotation, along_rotation(scorer, rotation, target_extent=target_extent), delta)


def uncertainty_intervals(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    delta: float,
    *,
    target_extent: Extent = None,
) -> list[Pieces]:
    """The uncertainty set: what the stable intervals leave of the partition, as (from, to, label), radians.

    There the label of the rotated embedding is known, but an e within delta may have another. Together with
    `stable_intervals` the pieces cover the range once; where nothing is certified there are none. Takes the arguments
    of `stable_coverage`.
    """
    scorer.check_points(features)
    rotation = Rotation.tolerant(features, source, target)
    partition = along_rotation(scorer, rotation, target_extent=target_extent)
    stable = stable_of(scorer, rotation, partition, delta)
    return [_rest(partition.intervals(i), pieces) for i, pieces in enumerate(stable)]


def _rest(whole: Pieces, stable: Pieces) -> Pieces:
    """What `stable` leaves of the intervals `whole`; both run in one direction."""
    found, following = [], iter([*stable, (math.nan, math.nan, -1)])
    piece = next(following)
    for start, stop, label in whole:
        sign = -1.0 if stop < start else 1.0
        while piece[2] >= 0 and sign * (stop - piece[0]) > 0:
            if sign * (piece[0] - start) > 0:
                found.append((start, piece[0], label))
            start, piece = piece[1], next(following)
        if sign * (stop - start) > 0:
            found.append((start, stop, label))
    return found


def stable_of(scorer: AffineScorer, rotation: Rotation, partition: SemanticPartition, delta: float) -> list[Pieces]:
    """Stable intervals of each image in a partition along a rotation."""
    check_deltas([delta])
    sign = torch.where(partition.stop < partition.start, -1.0, 1.0).to(partition.start)
    found: list[Pieces] = [[] for _ in range(len(partition))]
    for piece in stable_pieces(scorer, rotation, partition):
        low, high, _ = piece.stable(piece.failing(delta))
        for row, column in (high > low).nonzero().tolist():
            i, whole = int(piece.rows[row]), float(piece.length[row])
            # The end of an interval is taken as the partition states it, not as start + length.
            ends = (
                float(piece.stop[row] if edge == whole else piece.origin[row] + sign[i] * edge)
                for edge in (float(low[row, column]), float(high[row, column]))
            )
            found[i].append((*ends, int(piece.label[row])))  # type: ignore[arg-type]
    return found


def check_deltas(deltas: Sequence[float]) -> None:
    """Raises ValueError where a misalignment bound is negative or not finite."""
    for delta in deltas:
        if not 0 <= delta < math.inf:
            raise ValueError(f"expected delta >= 0 and finite, got {delta}: give a Euclidean bound in feature units")
