"""Semantic extent: how far an attribute can change before the prediction does.

Source: "Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026 (arXiv 2606.18839). The
range runs from the angle of the image to the target extent: the angle of the target prompt (text-specified), or one
read off a reference image (image-specified). Here the shorter way round is taken, and the maximal intervals of constant
prediction come from sweeping the upper envelope of the scores (see `envelope`) instead of solving all class pairs.

What is claimed, per image: the classifier's label is the stated one at every angle inside each interval. The claim is
deterministic and about embeddings: it says as much about pictures as the rotation models them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.close_classes import settled
from hrvlm.certificates.embedding.close_sweep import sweep_closely
from hrvlm.certificates.embedding.envelope_sweep import sweep_envelope
from hrvlm.certificates.embedding.partition import SemanticPartition, certified_mask, chunks
from hrvlm.certificates.embedding.reasons import Reason
from hrvlm.certificates.embedding.rotation import ImageExtent, Rotation, shorter_way
from hrvlm.certificates.embedding.sweeps import EnvelopeSweep, joined

Extent = float | Tensor | ImageExtent | None


def semantic_partition(
    scorer: AffineScorer, features: Tensor, source: Tensor, target: Tensor, *, target_extent: Extent = None
) -> SemanticPartition:
    """Certify the prediction of each image along the rotation from its own angle to the target extent.

    Args:
        scorer: classifier; for a Poincaré scorer the features are image points and the bias belongs to their norms.
        features: `(N, D)` embeddings, of any norm the scorer is meant for.
        source: `(D,)` embedding of the source prompt, or `(N, D)`, one per image; only directions matter.
        target: `(D,)` embedding of the target prompt, or `(N, D)`, one per image; only directions matter.
        target_extent: None for the text-specified extent; else radians in the plane, one number or `(N,)`, or what
            `image_extent` returns for reference images.

    Raises:
        ValueError: if shapes do not fit.
    """
    scorer.check_points(features)
    return along_rotation(scorer, Rotation.tolerant(features, source, target), target_extent=target_extent)


def along_rotation(
    scorer: AffineScorer, rotation: Rotation, *, target_extent: Extent = None, scores: Tensor | None = None
) -> SemanticPartition:
    """Partition along a rotation; `scores` `(N, U)` are those of `scorer.distinct_scores`, where they are known."""
    stop, defined = target_angles(target_extent, rotation)
    turn = shorter_way(rotation.angle, stop)
    direction = torch.where(turn < 0, -1.0, 1.0).to(turn)
    length = torch.where(defined & rotation.spans, turn.abs(), 0.0)
    axes = rotation.axes(scorer) if rotation.plane.e1.dim() == 1 else None  # the same for all chunks
    pieces = []
    for part in chunks(len(turn), scorer.num_classes):
        some, images = scorer.rows(part), rotation.rows(part)
        known = some.distinct_scores(images.features) if scores is None else scores[part]
        pieces.append(_swept(some, images, direction[part], length[part], known, axes))
    sweeps, labels, finites = zip(*pieces, strict=True)
    found, finite = _in_classes(joined(sweeps), scorer), torch.cat(finites)
    length = torch.where(finite, length, 0.0)
    reasons = reasons_of(rotation.spans, finite, defined, found.verified, rotation.flat, length)
    start = torch.where(finite & rotation.spans, rotation.angle, 0.0)
    return _assemble(found, start, direction, length, torch.cat(labels), reasons)


def semantic_partitions(
    scorers: Mapping[Any, AffineScorer],
    features: Tensor,
    attributes: Mapping[str, tuple[Tensor, Tensor]],
    *,
    target_extent: Extent = None,
) -> dict[tuple[Hashable, str], SemanticPartition]:
    """Partitions for every statement (tree and level) and attribute, keyed by (statement, attribute).

    The scores of an image are computed once per statement, its coordinates once per attribute.

    Args:
        scorers: one scorer per statement.
        features: `(N, D)` embeddings.
        attributes: source and target embedding per attribute name, as in `semantic_partition`.
        target_extent: of all attributes, as in `semantic_partition`.
    """
    features = features.double()
    rotations = {name: Rotation.tolerant(features, *prompts) for name, prompts in attributes.items()}
    found: dict[tuple[Hashable, str], SemanticPartition] = {}
    for key, scorer in scorers.items():
        scorer.check_points(features)
        scores = scorer.distinct_scores(features)
        for name, rotation in rotations.items():
            found[key, name] = along_rotation(scorer, rotation, target_extent=target_extent, scores=scores)
    return found


def target_angles(extent: Extent, rotation: Rotation) -> tuple[Tensor, Tensor]:
    """Target angle `(N,)` and whether it is defined."""
    defined = torch.ones_like(rotation.flat)
    if extent is None:
        return rotation.plane.angle.expand_as(rotation.angle), defined
    if isinstance(extent, ImageExtent):
        defined = extent.defined.to(defined.device)
    given = extent.angle if isinstance(extent, ImageExtent) else extent
    angle = torch.as_tensor(given, dtype=torch.float64).detach().to(rotation.angle)
    if angle.shape not in (torch.Size(()), rotation.angle.shape):
        raise ValueError(f"expected target_extent as one number or {len(defined)} of them, got {tuple(angle.shape)}")
    return angle.expand_as(rotation.angle), defined


def winners(scorer: AffineScorer, rotation: Rotation, scores: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Position in `scorer.first` and class of the winner at each image (-1 if not finite), and where all is finite."""
    if scores is None:
        scores = scorer.distinct_scores(rotation.features)
    best, winner = scores.max(dim=1)
    scored = best.isfinite() & scores.sum(dim=1).isfinite()  # -inf would not show in the maximum
    label = torch.where(scored, scorer.first[winner], -1)
    return winner, label, scored & rotation.angle.isfinite() & rotation.plane.angle.isfinite()


def _swept(
    scorer: AffineScorer,
    rotation: Rotation,
    direction: Tensor,
    length: Tensor,
    scores: Tensor,
    axes: tuple[Tensor, Tensor] | None,
) -> tuple[EnvelopeSweep, Tensor, Tensor]:
    """Walks of one chunk of images with scores `(N, U)`, labels at the images and where all is finite."""
    winner, label, finite = winners(scorer, rotation, scores)
    finite = finite & length.isfinite()
    sinusoids, good = rotation.sinusoids(scorer, direction, scores, axes), finite.nonzero().squeeze(1)
    if len(good) == len(finite):
        found = sweep_envelope(sinusoids, winner, length)
    else:
        found = sweep_envelope(sinusoids.rows(good), winner[good], length[good]).spread(good, len(finite))
    close = (
        (~found.told | (scorer.crowded[found.labels] & (found.labels >= 0)).any(dim=1) & finite).nonzero().squeeze(1)
    )
    if close.numel():
        some, images = scorer.rows(close), rotation.rows(close)
        exact = settled(some, images, winner[close])
        label = label.index_copy(0, close, scorer.first[exact])
        found = found.replaced(close, sweep_closely(some, images, direction[close], length[close], exact))
    return found, label, finite


def _in_classes(found: EnvelopeSweep, scorer: AffineScorer) -> EnvelopeSweep:
    """The sweep in class indices of the scorer, with margins of duplicates set to zero."""
    duplicates = (scorer.repeated[found.labels] & (found.labels >= 0)).any(dim=1)
    labels = torch.where(found.labels >= 0, scorer.first[found.labels], -1)
    return EnvelopeSweep(
        found.breaks, labels, torch.where(duplicates, 0.0, found.smallest_margin), found.verified, found.told
    )


def reasons_of(
    spans: Tensor, finite: Tensor, defined: Tensor, verified: Tensor, flat: Tensor, length: Tensor
) -> tuple[Reason | None, ...]:
    """The first reason that applies to each image."""
    order = (
        (~spans, Reason.PARALLEL),
        (~finite, Reason.NOT_FINITE),
        (~defined, Reason.NO_REFERENCE),
        (~verified, Reason.NUMERICAL),
        (flat, Reason.CONSTANT),
        (length == 0, Reason.EMPTY_RANGE),
    )
    hits = torch.stack([mask for mask, _ in order], dim=1)
    which = torch.where(hits.any(dim=1), hits.int().argmax(dim=1), len(order)).tolist()
    reasons = (*(reason for _, reason in order), None)
    return tuple(reasons[i] for i in which)


def _assemble(
    found: EnvelopeSweep,
    start: Tensor,
    direction: Tensor,
    length: Tensor,
    label: Tensor,
    reasons: tuple[Reason | None, ...],
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
