"""What a semantic row holds so that its claims follow from it without the model.

Scores along the rotation are sinusoids, three numbers each, so a row can hold those that its claims depend on: of the
classes that win somewhere, of the one that sets the smallest margin, and of those that bound the stable part. With the
image's coordinates in the plane and the target's angle, start and stop, every boundary, all shares and the smallest
margin can be derived again; `semantic_verify` does. That all the other classes lose needs the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hrvlm.certificates.affine import AffineScorer
from hrvlm.certificates.envelope import Waves
from hrvlm.certificates.intervals import SemanticPartition, chunks
from hrvlm.certificates.misalignment import coverage_of
from hrvlm.certificates.rotation import Rotation
from hrvlm.certificates.semantic import Extent, target_angles
from hrvlm.certificates.semantic_records import Wave
from hrvlm.certificates.stable_arcs import stable_pieces
from hrvlm.geometry import sphere

Distance = tuple[int, int, float]


def semantic_evidence(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    partition: SemanticPartition,
    *,
    target_extent: Extent = None,
    deltas: Sequence[float] = (),
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

    Returns:
        Fields `plane`, `waves`, `distances`, `stable` and `smallest_margin` of each image.
    """
    rotation = Rotation.tolerant(features, source, target)
    angles, _ = target_angles(target_extent, rotation)
    first, second = (
        torch.where(rotation.flat, 0.0, sphere.along(rotation.features, axis)) for axis in rotation.plane[:2]
    )
    coverage = coverage_of(scorer, rotation, partition, deltas)
    bounding = _bounding(scorer, rotation, partition, deltas)
    found: list[dict[str, Any]] = []
    direction = torch.where(partition.stop < partition.start, -1.0, 1.0).to(partition.start)
    for part in chunks(len(partition), scorer.num_classes):
        some = scorer.rows(part)
        waves = rotation.rows(part).waves(some, direction[part])
        for row, i in enumerate(range(len(partition))[part]):
            stable = tuple((delta, float(coverage[m, i])) for m, delta in enumerate(deltas))
            fields: dict[str, Any] = {"stable": stable}
            if partition.intervals(i):
                fields["plane"] = (float(first[i]), float(second[i]), float(angles[i]))
                fields |= _fields(_Image(some, waves, row), partition, i, bounding[i])
            found.append(fields)
    return found


class _Image:
    """The waves of one image: row `row` of `waves` `(n, U)`, whose columns are the classes `scorer.first`."""

    def __init__(self, scorer: AffineScorer, waves: Waves, row: int) -> None:
        self.scorer = scorer
        self.parts = [part[row].cpu().numpy() for part in (waves.cosine, waves.sine, waves.offset)]

    def wave(self, label: int, named: int | None = None) -> Wave:
        """Coefficients of a winner, or of a class identical to it."""
        column = self._column(label)
        cosine, sine, offset = (float(part[column]) for part in self.parts)
        return label if named is None else named, cosine, sine, offset

    def twin(self, label: int) -> int | None:
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
        lead = value[column] - value
        lead[column] = math.inf
        best = int(lead.argmin())
        return (float(lead[best]), int(self.scorer.first[best])) if len(lead) > 1 else None

    def _column(self, label: int) -> int:
        return int(torch.searchsorted(self.scorer.first, label))


def _fields(image: _Image, partition: SemanticPartition, i: int, bounding: set[Distance]) -> dict[str, Any]:
    """Waves, distances and smallest margin of one image."""
    pieces, start = partition.intervals(i), float(partition.start[i])
    leads = [
        found
        for a, b, label in pieces
        if a != b and (found := image.next_best(label, abs((a + b) / 2 - start))) is not None
    ]
    margin, rival = min(leads, default=(None, -1))
    winners = {int(partition.label[i]), *(label for _, _, label in pieces)}
    twins = {label: other for label in winners if (other := image.twin(label)) is not None}
    if any(label in twins and a != b for a, b, label in pieces):
        margin, rival = 0.0, -1
    pairs = sorted((k, twins[k] if j == k else j, distance) for k, j, distance in bounding)
    named = winners | {j for _, j, _ in bounding} | ({rival} - {-1})
    waves = [*map(image.wave, named), *(image.wave(*pair) for pair in twins.items())]
    return {"waves": tuple(sorted(waves)), "distances": tuple(pairs), "smallest_margin": margin}


def _bounding(
    scorer: AffineScorer, rotation: Rotation, partition: SemanticPartition, deltas: Sequence[float]
) -> list[set[Distance]]:
    """Per image (winner, other class, distance of their weights) of the classes that bound the stable part.

    A winner that is its own rival has an identical twin, at distance 0.
    """
    found: list[set[Distance]] = [set() for _ in range(len(partition))]
    for piece in stable_pieces(scorer, rotation, partition) if deltas else ():
        wanted = torch.stack([piece.binding(delta) for delta in deltas]).any(dim=0)
        wanted &= ((piece.length > 0) | (partition.start == partition.stop)[piece.rows])[:, None]
        for row, column in wanted.nonzero().tolist():
            label, other = int(piece.label[row]), int(scorer.first[column])
            distance = 0.0 if label == other else float(piece.distances[row, column])
            found[int(piece.rows[row])].add((label, other, distance))
    return found
