"""Invariant extent: how far either way an image can be rotated before its prediction changes.

Source: "Semantic Robustness Certification for Vision-Language Models", Yang et al., ICML 2026 (arXiv 2606.18839).
Unlike a partition it needs no target extent: it is the interval of the image's own prediction, cut off at half a turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.close_classes import doubtful, first_change_told, settled
from hrvlm.certificates.embedding.partition import chunks
from hrvlm.certificates.embedding.reasons import Reason
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.certify import reasons_of, winners


@dataclass(frozen=True, eq=False)
class InvariantExtent:
    """Largest interval around the angle of each image in which the prediction is the one at the image.

    Attributes:
        lower: `(N,)` radians, at most `start`; the interval is at most half a turn long on either side.
        start: `(N,)` angle of the image.
        upper: `(N,)` radians, at least `start`.
        label: `(N,)` prediction at the image; -1 where scores are not finite.
        reasons: per image None or a `Reason`; where nothing is certified lower = start = upper.
    """

    lower: Tensor
    start: Tensor
    upper: Tensor
    label: Tensor
    reasons: tuple[Reason | None, ...]


def invariant_extent(scorer: AffineScorer, features: Tensor, source: Tensor, target: Tensor) -> InvariantExtent:
    """How far each image can be rotated either way, up to half a turn, before its prediction changes.

    Args:
        scorer: classifier.
        features: `(N, D)` embeddings.
        source: `(D,)` embedding of the source prompt, or `(N, D)`, one per image.
        target: `(D,)` embedding of the target prompt, or `(N, D)`, one per image.
    """
    scorer.check_points(features)
    rotation = Rotation.tolerant(features, source, target)
    pieces = [_either_way(scorer.rows(part), rotation.rows(part)) for part in chunks(len(features), scorer.num_classes)]
    columns = {
        name: torch.cat([getattr(piece, name) for piece in pieces]) for name in ("lower", "start", "upper", "label")
    }
    return InvariantExtent(**columns, reasons=tuple(reason for piece in pieces for reason in piece.reasons))


def _either_way(scorer: AffineScorer, rotation: Rotation) -> InvariantExtent:
    """Invariant extents of one chunk of images."""
    scores = scorer.distinct_scores(rotation.features)
    winner, label, finite = winners(scorer, rotation, scores)
    good = finite.nonzero().squeeze(1)
    reach, verified, images = [], finite.clone(), (scorer.rows(good), rotation.rows(good))
    for sign in (-1.0, 1.0):
        direction = torch.full_like(rotation.angle, sign)
        sinusoids = rotation.sinusoids(scorer, direction, scores).rows(good)
        doubted = doubtful(scorer, scores[good], winner[good], sinusoids.tolerance())
        close = good[doubted]
        if close.numel():
            winner = winner.index_copy(0, close, settled(scorer.rows(close), rotation.rows(close), winner[close]))
            label = label.index_copy(0, close, scorer.first[winner[close]])
        angle, sound = first_change_told(*images, direction[good], sinusoids, winner[good], doubted)
        reach.append(sign * torch.zeros_like(rotation.angle).index_copy_(0, good, angle))
        verified[good] &= sound
    verified &= rotation.spans
    always, some = torch.ones_like(finite), torch.ones_like(rotation.angle)
    reasons = reasons_of(rotation.spans, finite, always, verified, rotation.flat, some)
    start = torch.where(finite & rotation.spans, rotation.angle, 0.0)
    lower, upper = (start + torch.where(verified, step, 0.0) for step in reach)
    return InvariantExtent(lower, start, upper, label, reasons)
