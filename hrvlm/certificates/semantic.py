"""Semantic extent: how far an attribute can change before the prediction does.

Source: "Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026 (arXiv 2606.18839). The
range runs from the angle of the image to the target extent: the angle of the target prompt (text-specified), or one
read off a reference image (image-specified). Here the shorter way round is taken, and the maximal intervals of constant
prediction come from walking the upper envelope of the scores (see `envelope`) instead of solving all class pairs.

What is claimed, per image: the classifier's label is the stated one at every angle inside each interval. The claim is
deterministic and about embeddings: it says as much about pictures as the rotation models them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

from hrvlm.certificates.affine import AffineScorer
from hrvlm.certificates.envelope import Walk, walk
from hrvlm.certificates.intervals import Reason, SemanticPartition, certified_mask, chunks, joined
from hrvlm.certificates.rotation import ImageExtent, Rotation, shorter_way
from hrvlm.geometry.sphere import ParallelVectorsError

Extent = float | Tensor | ImageExtent | None


def semantic_partition(
    scorer: AffineScorer, features: Tensor, source: Tensor, target: Tensor, *, target_extent: Extent = None
) -> SemanticPartition:
    """Certify the prediction of each image along the rotation from its own angle to the target extent.

    Args:
        scorer: classifier; for a Poincaré scorer the features are image points and the bias belongs to their norms.
        features: `(N, D)` embeddings, of any norm the scorer is meant for.
        source: `(D,)` embedding of the source prompt; only its direction matters.
        target: `(D,)` embedding of the target prompt; only its direction matters.
        target_extent: None for the text-specified extent; else radians in the plane, one number or `(N,)`, or what
            `image_extent` returns for reference images.

    Raises:
        ValueError: if shapes do not fit.
    """
    scorer.check_points(features)
    try:
        rotation = Rotation.of(features, source, target)
    except ParallelVectorsError:
        return nothing(scorer, features, Reason.PARALLEL)
    stop, defined = _target_angles(target_extent, rotation)
    turn = shorter_way(rotation.angle, stop)
    return joined(
        [
            _partition(scorer.rows(part), rotation.rows(part), turn[part], defined[part])
            for part in chunks(len(features), scorer.num_classes)
        ]
    )


def semantic_partitions(
    scorers: Mapping[Any, AffineScorer], features: Tensor, attributes: Mapping[str, tuple[Tensor, Tensor]]
) -> dict[tuple[Hashable, str], SemanticPartition]:
    """Text-specified partitions for every statement (tree and level) and attribute, keyed by (statement, attribute).

    Args:
        scorers: one scorer per statement.
        features: `(N, D)` embeddings.
        attributes: source and target embedding `(D,)` per attribute name.
    """
    return {
        (key, name): semantic_partition(scorer, features, *prompts)
        for key, scorer in scorers.items()
        for name, prompts in attributes.items()
    }


def _target_angles(extent: Extent, rotation: Rotation) -> tuple[Tensor, Tensor]:
    """Target angle `(N,)` and whether it is defined."""
    defined = torch.ones_like(rotation.flat)
    if extent is None:
        return rotation.plane.angle.expand_as(rotation.angle), defined
    if isinstance(extent, ImageExtent):
        defined = extent.defined.to(defined.device)
    angle = torch.as_tensor(extent.angle if isinstance(extent, ImageExtent) else extent).detach().to(rotation.angle)
    if angle.shape not in (torch.Size(()), rotation.angle.shape):
        raise ValueError(f"expected target_extent as one number or {len(defined)} of them, got {tuple(angle.shape)}")
    return angle.expand_as(rotation.angle), defined


def winners(scorer: AffineScorer, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
    """Position in `scorer.first` and class of the winner at each image (-1 if not finite), and where all is finite."""
    scores = scorer.scores(rotation.features)[:, scorer.first]
    scored = scores.isfinite().all(dim=1)
    winner = scores.argmax(dim=1)
    label = torch.where(scored, scorer.first[winner], -1)
    return winner, label, scored & rotation.angle.isfinite() & rotation.plane.angle.isfinite()


def _partition(scorer: AffineScorer, rotation: Rotation, turn: Tensor, defined: Tensor) -> SemanticPartition:
    """Partition of one chunk of images for signed ranges `turn` `(N,)`."""
    direction = torch.where(turn < 0, -1.0, 1.0).to(turn)
    winner, label, finite = winners(scorer, rotation)
    finite = finite & turn.isfinite()
    length = torch.where(finite & defined, turn.abs(), 0.0)
    good = finite.nonzero().squeeze(1)
    found = walk(rotation.waves(scorer, direction).rows(good), winner[good], length[good])
    result = _spread(found, good, scorer, len(turn))
    start = torch.where(finite, rotation.angle, 0.0)
    reasons = reasons_of(finite, defined, result.verified, rotation.flat, length)
    return _assemble(result, start, direction, length, label, reasons)


def _spread(found: Walk, good: Tensor, scorer: AffineScorer, count: int) -> Walk:
    """The walk in class indices of the scorer, with rows put back in place and margins of twins set to zero."""
    twins = (scorer.repeated[found.labels] & (found.labels >= 0)).any(dim=1)
    margin = torch.where(twins, 0.0, found.smallest_margin)
    labels = torch.where(found.labels >= 0, scorer.first[found.labels], -1)
    return Walk(
        found.breaks.new_zeros(count, found.breaks.shape[1]).index_copy_(0, good, found.breaks),
        labels.new_full((count, labels.shape[1]), -1).index_copy_(0, good, labels),
        margin.new_zeros(count).index_copy_(0, good, margin),
        found.verified.new_zeros(count).index_copy_(0, good, found.verified),
    )


def reasons_of(
    finite: Tensor, defined: Tensor, verified: Tensor, flat: Tensor, length: Tensor
) -> tuple[Reason | None, ...]:
    """The first reason that applies to each image."""
    order = (
        (~finite, Reason.NOT_FINITE),
        (~defined, Reason.NO_REFERENCE),
        (~verified, Reason.NUMERICAL),
        (flat, Reason.CONSTANT),
        (length == 0, Reason.EMPTY_RANGE),
    )
    rows = torch.stack([mask for mask, _ in order], dim=1).tolist()
    return tuple(next((order[i][1] for i, hit in enumerate(row) if hit), None) for row in rows)


def _assemble(
    found: Walk, start: Tensor, direction: Tensor, length: Tensor, label: Tensor, reasons: tuple[Reason | None, ...]
) -> SemanticPartition:
    """Turn travelled angles into angles in the plane, and withdraw what is not certified."""
    certified = certified_mask(reasons, start)
    labels = torch.where(certified[:, None], found.labels, -1)
    same = labels == label[:, None]
    lengths = found.breaks.diff(dim=1)
    share = (lengths * same).sum(dim=1) / torch.where(length > 0, length, 1.0)
    changed = ((lengths > 0) & ~same & (labels >= 0)).int().cumsum(dim=1) > 0
    stop = start + direction * length
    breaks = start[:, None] + direction[:, None] * found.breaks
    return SemanticPartition(
        start=start,
        stop=stop,
        label=label,
        invariance=torch.where(length > 0, share.clamp(max=1.0), 1.0) * certified,
        extent=(lengths * (same & ~changed)).sum(dim=1) * certified,
        smallest_margin=torch.where(certified, found.smallest_margin, 0.0),
        breaks=torch.where(found.breaks >= length[:, None], stop[:, None], breaks),
        labels=labels,
        reasons=reasons,
    )


def nothing(scorer: AffineScorer, features: Tensor, reason: Reason) -> SemanticPartition:
    """The outcome of images for which nothing can be certified."""
    finite = scorer.scores(features).isfinite().all(dim=1)
    label = torch.where(finite, scorer.predict(features), -1)
    zero = torch.zeros(len(features), dtype=torch.float64, device=label.device)
    columns = dict.fromkeys(("start", "stop", "invariance", "extent", "smallest_margin"), zero)
    labels = torch.full_like(label, -1)[:, None]
    return SemanticPartition(
        **columns, label=label, breaks=torch.stack([zero, zero], 1), labels=labels, reasons=(reason,) * len(features)
    )
