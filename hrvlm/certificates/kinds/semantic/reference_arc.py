"""Great-circle arcs between embeddings: straight lines in embedding space, and references fitted to pictures.

An arc starts at an image's embedding and needs no prompts, so it serves to judge the rotation that prompts specify: the
embedding line is a baseline, the arc fitted to pictures of the true change is the reference ("Semantic Robustness
Certification for Vision-Language Models", Yang et al., ICML 2026, arXiv 2606.18839). Affine scores along an arc are
sinusoids again, so its partition is exact, too; what it says about pictures between is as empirical as before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.reasons import Reason
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.certify import along_rotation
from hrvlm.geometry import sphere

_SAME = 16.0 * torch.finfo(torch.float32).eps  # sine of the angle up to which two embeddings count as one


@dataclass(frozen=True, eq=False)
class ReferenceArc:
    """Great-circle arcs fitted to picture sequences; each starts at the first picture's embedding.

    Attributes:
        rotation: arcs from the first embeddings, in the planes fitted.
        stop: `(N,)` angle of the last picture in the plane, radians in (-pi, pi].
        fit: `(N,)` mean cosine, in [-1, 1], of the pictures' embeddings with the nearest points of the circle.
    """

    rotation: Rotation
    stop: Tensor
    fit: Tensor


def fit_reference_arc(sequences: Tensor) -> ReferenceArc:
    """Fit an arc to each sequence of embeddings: the plane through the first one nearest to the rest.

    By least squares: the directions' parts orthogonal to the first are fitted by a line through 0, their first right
    singular vector, turned towards the last picture.

    Args:
        sequences: `(N, T, D)` embeddings of T >= 2 pictures in order; directions matter, norms only at the first.

    Raises:
        ValueError: if the shape is not `(N, T, D)` with T >= 2.
    """
    if sequences.dim() != 3 or sequences.shape[1] < 2:
        raise ValueError(f"expected sequences of shape (N, T, D) with T >= 2, got {tuple(sequences.shape)}")
    first = sequences[:, 0].detach().double()
    directions = sphere.normalise(sequences.detach().double())
    origin = directions[:, :1]
    tangents = directions[:, 1:] - (directions[:, 1:] * origin).sum(dim=-1, keepdim=True) * origin
    finite = tangents.isfinite().all(dim=-1).all(dim=-1)
    tangents = torch.where(finite[:, None, None], tangents, 0.0)
    way = torch.linalg.svd(tangents, full_matrices=False).Vh[:, 0]
    last = (tangents[:, -1] * way).sum(dim=-1)
    way = torch.where(last < 0, -1.0, 1.0)[:, None] * way
    moved = tangents.norm(dim=-1).amax(dim=-1) > _SAME
    towards = torch.where(moved[:, None], first / first.norm(dim=-1, keepdim=True) + way, first)
    rotation = Rotation.from_image(first, torch.where(finite[:, None], towards, torch.nan))
    coordinates = [(directions * axis[:, None]).sum(dim=-1) for axis in rotation.plane[:2]]
    stop = torch.atan2(coordinates[1][:, -1], coordinates[0][:, -1])
    fit = torch.hypot(*coordinates).mean(dim=-1)
    known = finite & moved
    return ReferenceArc(rotation, torch.where(known, stop, 0.0), torch.where(known, fit, finite.double()))


def reference_partition(scorer: AffineScorer, arc: ReferenceArc) -> SemanticPartition:
    """Exact partition along fitted arcs, from 0 to the last picture's angle; an arc without length is one point."""
    scorer.check_points(arc.rotation.features)
    return _pointlike(along_rotation(scorer, arc.rotation, target_extent=arc.stop), arc.rotation)


def embedding_line(scorer: AffineScorer, features: Tensor, references: Tensor) -> SemanticPartition:
    """Exact partition along the straight line from each embedding's direction to that of its reference.

    Points of the line are brought back to the norm of the image, on which the scorer is defined, so the line runs along
    a great circle; `start`, `stop` and `breaks` are positions on the line, from 0 to 1, and shares are shares of them.

    Args:
        scorer: classifier; its bias belongs to the norms of `features`.
        features: `(N, D)` embeddings.
        references: `(N, D)` embeddings of pictures that show the target.

    Raises:
        ValueError: if shapes do not fit.
    """
    scorer.check_points(features)
    if references.shape != features.shape:
        raise ValueError(f"expected references of shape {tuple(features.shape)}, got {tuple(references.shape)}")
    rotation = Rotation.from_image(features, references.to(features.device))
    partition = _pointlike(along_rotation(scorer, rotation), rotation)
    return _by_position(partition, rotation.plane.angle.nan_to_num())


def _pointlike(partition: SemanticPartition, rotation: Rotation) -> SemanticPartition:
    """The partition, with arcs whose two ends are the same point as empty ranges: the prediction is known there."""
    close = ~rotation.spans & (rotation.plane.angle < 1) & (partition.label >= 0)
    rows = close.nonzero().squeeze(1).tolist()
    if not rows:
        return partition
    labels = partition.labels.clone()
    labels[rows, 0] = partition.label[rows]
    reasons = tuple(Reason.EMPTY_RANGE if i in set(rows) else why for i, why in enumerate(partition.reasons))
    invariance = torch.where(close, 1.0, partition.invariance)
    return replace(partition, labels=labels, invariance=invariance, reasons=reasons)


def _by_position(partition: SemanticPartition, whole: Tensor) -> SemanticPartition:
    """A partition by angles from 0 to `whole` `(N,)` in [0, pi) as one by positions on the chord."""
    breaks = partition.breaks
    there, rest = breaks.sin(), (whole[:, None] - breaks).sin()
    total = there + rest
    position = torch.where(total > 0, there / torch.where(total > 0, total, 1.0), 0.0).clamp(0, 1)
    real = (partition.stop != 0)[:, None]
    position = torch.where(breaks >= partition.stop[:, None], 1.0, position) * real
    lengths, same = position.diff(dim=1), partition.labels == partition.label[:, None]
    moved = partition.stop != 0
    changed = ((lengths > 0) & ~same & (partition.labels >= 0)).cumsum(dim=1) > 0
    return replace(
        partition,
        stop=moved.double(),
        breaks=position,
        invariance=torch.where(moved, (lengths * same).sum(dim=1).clamp(max=1.0), partition.invariance),
        extent=(lengths * (same & ~changed)).sum(dim=1),
    )
