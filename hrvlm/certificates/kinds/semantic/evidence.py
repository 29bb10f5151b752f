"""What a semantic row holds so that its claims follow from it without the model.

Scores along the rotation are sinusoids, three numbers each, so a row can hold those that its claims depend on: of the
classes that win somewhere, of the one that sets the smallest margin, and of those that bound the stable part: at each
delta that was asked for, and first of all as delta grows, so that no delta can be raised afterwards. With the image's
coordinates in the plane and the target's angle, start and stop, every boundary, all shares and the smallest margin can
be derived again; `semantic_verify` does. That all the other classes lose needs the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import Sinusoids
from hrvlm.certificates.embedding.partition import SemanticPartition, chunks
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_stretch import Ending
from hrvlm.certificates.kinds.semantic.certify import Extent, target_angles
from hrvlm.certificates.kinds.semantic.misalignment import add_stable_share, check_deltas
from hrvlm.certificates.kinds.semantic.record import LARGEST_DELTA, Wave
from hrvlm.certificates.kinds.semantic.stable_arcs import StablePiece, stable_pieces
from hrvlm.geometry import sphere


def semantic_evidence(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    partition: SemanticPartition,
    *,
    target_extent: Extent = None,
    deltas: Sequence[float] = (),
    ends: Sequence[Sequence[Ending]] = (),
    rotation: Rotation | None = None,
    sinusoids: Sinusoids | None = None,
) -> list[dict[str, Any]]:
    """Per image the fields that `SemanticRecord.of_partition` takes beside the partition.

    Args:
        scorer: classifier.
        features: `(N, D)` embeddings.
        source: as in `semantic_partition`.
        target: as in `semantic_partition`.
        partition: what `semantic_partition` returned for these arguments.
        target_extent: as in `semantic_partition`.
        deltas: misalignment bounds at which stable coverage is stated.
        ends: per image the classes that end its calibrated stretches; none where no such are stated.
        rotation: of features, source and target, where it is known.
        sinusoids: see `stable_pieces`.

    Returns:
        Fields `plane`, `waves`, `distances`, `largest_deltas`, `margins`, `stable` and `smallest_margin` of each image.
    """
    rotation = rotation or Rotation.tolerant(features, source, target)
    angles, _ = target_angles(target_extent, rotation)
    first, second = (
        torch.where(rotation.flat, 0.0, sphere.along(rotation.features, axis)) for axis in rotation.plane[:2]
    )
    coverage, bounding = _stable_parts(scorer, rotation, partition, deltas, sinusoids)
    for bounds, label, others in zip(bounding, partition.label.tolist(), ends, strict=False):  # of none, or of all
        bounds.end(label, others)
    found: list[dict[str, Any]] = []
    direction = partition.direction
    for part in chunks(len(partition), scorer.num_classes):
        some = scorer.rows(part)
        known = None if sinusoids is None else sinusoids.rows(part)
        waves = known or rotation.rows(part).sinusoids(some, direction[part])
        parts = np.stack([each.cpu().numpy() for each in (waves.cosine, waves.sine, waves.offset)])
        for row, i in enumerate(range(len(partition))[part]):
            stable = tuple((float(delta), float(coverage[m, i])) for m, delta in enumerate(deltas))
            fields: dict[str, Any] = {"stable": stable, "largest_deltas": ()}
            if partition.intervals(i):
                fields["plane"] = (float(first[i]), float(second[i]), float(angles[i]))
                fields |= _fields(_Image(some, parts[:, row]), partition, i, bounding[i])
            found.append(fields)
    return found


class _Image:
    """The waves of one image: cosine, sine and offset `(3, U)` of the classes `scorer.first`."""

    def __init__(self, scorer: AffineScorer, parts: NDArray[np.float64]) -> None:
        self.scorer, self.parts = scorer, parts
        self.first = scorer.first.cpu().numpy()

    def waves(self, labels: Sequence[int], names: Sequence[int]) -> list[Wave]:
        """Coefficients of classes, under their own names or those of classes identical to them."""
        columns = self.first.searchsorted(labels)
        return [(name, a, b, c) for name, (a, b, c) in zip(names, self.parts[:, columns].T.tolist(), strict=True)]

    def duplicate(self, label: int) -> int | None:
        """Another class identical to a winner, or None."""
        scorer = self.scorer
        if not scorer.repeated[self._column(label)]:
            return None
        bias = torch.atleast_2d(scorer.bias)
        same = (scorer.weight == scorer.weight[label]).all(dim=1) & (bias == bias[:, [label]]).all(dim=0)
        return int(same.nonzero()[1])

    def next_best(self, label: int, angle: float) -> tuple[float, int] | None:
        """Lead of a winner over the next class, `angle` past the image, and that class; None for a single class."""
        cosine, sine, offset = self.parts
        value, column = cosine * math.cos(angle) + sine * math.sin(angle) + offset, self._column(label)
        margin = value[column] - value
        margin[column] = math.inf
        best = int(margin.argmin())
        return (float(margin[best]), int(self.first[best])) if len(margin) > 1 else None

    def _column(self, label: int) -> int:
        return int(self.first.searchsorted(label))


_NO_LEAD = 1e-12


@dataclass
class _Bounds:
    """What bounds the stable part of one image: classes by winner.

    A winner that is its own rival has an identical duplicate, at distance 0.
    """

    distances: dict[tuple[int, int], float] = field(default_factory=dict)
    margins: dict[tuple[int, int], tuple[float, float, float, float]] = field(default_factory=dict)
    largest: dict[int, tuple[float, int]] = field(default_factory=dict)

    def end(self, label: int, others: Sequence[Ending]) -> None:
        """Note the classes that end calibrated stretches of the image's label."""
        for other, a, b, c, error, distance in others:
            self.distances.setdefault((label, other), distance)
            if error > 0:
                self.margins.setdefault((label, other), (a, b, c, error))

    def first(self, label: int, other: int, delta: float) -> None:
        """Note the class that bounds one interval of a winner first, and up to which delta it does not."""
        self.largest[label] = min(self.largest.get(label, (math.inf, -1)), (min(delta, LARGEST_DELTA), other))


def _fields(image: _Image, partition: SemanticPartition, i: int, bounds: _Bounds) -> dict[str, Any]:
    """Sinusoids, distances, largest deltas and smallest margin of one image."""
    pieces, start = partition.intervals(i), float(partition.start[i])
    smallest = [
        found
        for a, b, label in pieces
        if a != b and (found := image.next_best(label, abs((a + b) / 2 - start))) is not None
    ]
    margin, rival = min(smallest, default=(None, -1))
    winners = {int(partition.label[i]), *(label for _, _, label in pieces)}
    duplicates = {label: other for label in winners if (other := image.duplicate(label)) is not None}
    if any(label in duplicates and a != b for a, b, label in pieces):
        margin, rival = 0.0, -1

    def named(label: int, other: int) -> int:
        return duplicates[label] if other == label else other

    pairs = sorted((k, named(k, j), distance) for (k, j), distance in bounds.distances.items())
    largest = sorted((k, named(k, j), delta) for k, (delta, j) in bounds.largest.items())
    classes = winners | {j for _, j in bounds.distances} | ({rival} - {-1})
    waves = image.waves([*classes, *duplicates], [*classes, *duplicates.values()])
    held = {"waves": tuple(sorted(waves)), "distances": tuple(pairs), "largest_deltas": tuple(largest)}
    margins = tuple((*pair, *numbers) for pair, numbers in sorted(bounds.margins.items()))
    if margin is not None and abs(margin) < _NO_LEAD:  # a difference of scores says nothing here
        margin = max(0.0, float(partition.smallest_margin[i]))
    return {**held, "margins": margins, "smallest_margin": margin}


def _measured(piece: StablePiece, row: int, column: int, start: float) -> tuple[float, float, float, float]:
    """Coefficients of a margin as a function of the angle travelled since the image, and the error of its values."""
    back = (piece.origin[row] - start).abs()[None]
    wave = Sinusoids(
        *(part[row, column].reshape(1, 1) for part in (piece.margin.cosine, piece.margin.sine, piece.margin.offset))
    ).turned(-back)
    return float(wave.cosine), float(wave.sine), float(wave.offset), float(piece.error[row, column])


def _stable_parts(
    scorer: AffineScorer,
    rotation: Rotation,
    partition: SemanticPartition,
    deltas: Sequence[float],
    sinusoids: Sinusoids | None,
) -> tuple[Tensor, list[_Bounds]]:
    """Stable coverage `(M, N)` at the deltas, and what bounds the stable part of each image, and first of all."""
    check_deltas(deltas)
    found, coverage = [_Bounds() for _ in range(len(partition))], partition.start.new_zeros(len(deltas), len(partition))
    whole = (partition.stop - partition.start).abs()
    for piece in stable_pieces(scorer, rotation, partition, sinusoids) if deltas else ():
        real = (piece.length > 0) | (partition.start == partition.stop)[piece.rows]
        reach, first = piece.first_bound()
        wanted = torch.zeros_like(piece.distances, dtype=torch.bool)
        for shares, delta in zip(coverage, deltas, strict=True):
            arcs = piece.failing(delta)
            add_stable_share(shares, whole, piece, arcs)
            wanted |= piece.binding(arcs)
        # The class of a winner itself is a rival only where it has a duplicate.
        wanted |= torch.zeros_like(wanted).scatter_(1, first[:, None], (piece.distances.amax(dim=1) >= 0)[:, None])
        wanted &= real[:, None]
        for row, column in wanted.nonzero().tolist():
            bounds, label, other = found[int(piece.rows[row])], int(piece.label[row]), int(scorer.first[column])
            bounds.distances[label, other] = 0.0 if label == other else float(piece.distances[row, column])
            if piece.error[row, column] > 0:
                bounds.margins[label, other] = _measured(piece, row, column, float(partition.start[piece.rows[row]]))
            if column == int(first[row]):
                bounds.first(label, other, float(reach[row]))
    return coverage.clamp(max=1.0), found
