"""How far one noisy embedding can change before its label does: the quantity that joint certificates count.

A semantic move changes an embedding along the rotation of a semantic plane (see `rotation`), in one of two ways:
"turn" turns it by an angle from source to target, wherever it stands (0 to pi); "target" carries it from its own angle
to that of the target prompt, the shorter way round (shares 0 to 1 of the way, which differs from copy to copy).
Either is a function of the embedding alone, so its extent is a function of the noisy image alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.close_classes import doubtful, first_change_told
from hrvlm.certificates.embedding.envelope import Sinusoids
from hrvlm.certificates.embedding.partition import chunks
from hrvlm.certificates.embedding.rotation import Rotation, shorter_way
from hrvlm.certificates.kinds.joint.grid import Move, check_move

NOT_THE_CLASS = -1.0


def sample_extents(
    scorer: AffineScorer, points: Tensor, source: Tensor, target: Tensor, label: int, *, move: Move = "turn"
) -> Tensor:
    """How far each embedding can be moved while a given label holds all the way.

    Args:
        scorer: classifier; for a Poincaré scorer the bias belongs to the norms of these points, row by row.
        points: `(N, D)` embeddings, of any norm the scorer is meant for.
        source: `(D,)` embedding of the source prompt; only its direction matters.
        target: `(D,)` embedding of the target prompt; only its direction matters.
        label: class that must hold.
        move: "turn" or "target".

    Returns:
        `(N,)` float64: the largest extent, in [0, pi] radians or [0, 1] of the way, up to which the label holds
        throughout; -1 where it does not hold at the start, or where nothing can be computed.

    Raises:
        ParallelVectorsError: if the prompts span no plane.
        ValueError: if shapes do not fit or the move is unknown.
    """
    check_move(move)
    scorer.check_points(points)
    rotation = Rotation.of(points, source, target)
    pieces = [
        _extents(scorer.rows(part), rotation.rows(part), label, move)
        for part in chunks(len(points), scorer.num_classes)
    ]
    return torch.cat(pieces)


def _extents(scorer: AffineScorer, rotation: Rotation, label: int, move: Move) -> Tensor:
    """Extents of one chunk of embeddings."""
    scores = scorer.scores(rotation.features)[:, scorer.first]
    best, winner = scores.max(dim=1)
    if move == "turn":
        way = torch.full_like(rotation.angle, math.pi)
    else:
        way = shorter_way(rotation.angle, rotation.plane.angle.expand_as(rotation.angle))
    finite = scores.isfinite().all(dim=1) & best.isfinite() & rotation.angle.isfinite() & way.isfinite()
    good = (finite & (scorer.first[winner] == label)).nonzero().squeeze(1)
    direction = torch.where(way < 0, -1.0, 1.0).to(way)
    sinusoids = _sinusoids(scorer, rotation, scores, direction, good)
    doubted = doubtful(scorer, scores[good], winner[good], sinusoids.tolerance())
    images = (scorer.rows(good), rotation.rows(good), direction[good])
    angle, sound = first_change_told(*images, sinusoids, winner[good], doubted)
    extent = angle
    if move == "target":
        length = way[good].abs()
        extent = torch.where(length > 0, angle / torch.where(length > 0, length, 1.0), 1.0).clamp(max=1.0)
    found = torch.full_like(rotation.angle, NOT_THE_CLASS)
    return found.index_copy_(0, good, torch.where(sound, extent, NOT_THE_CLASS))


def _sinusoids(scorer: AffineScorer, rotation: Rotation, scores: Tensor, direction: Tensor, rows: Tensor) -> Sinusoids:
    """Scores of some embeddings as functions of the angle travelled."""
    weight, (e1, e2, _) = scorer.weight[scorer.first], rotation.plane
    along1, along2 = weight @ e1, weight @ e2
    moved = rotation.features[rows] * ~rotation.flat[rows, None]
    first, second = (moved @ e1)[:, None], (moved @ e2)[:, None]
    cosine = first * along1 + second * along2
    return Sinusoids(cosine, direction[rows, None] * (first * along2 - second * along1), scores[rows] - cosine)


def move_points(points: Tensor, source: Tensor, target: Tensor, extents: Tensor, *, move: Move = "turn") -> Tensor:
    """Embeddings after a semantic move, for checks by sampling.

    Args:
        points: `(N, D)` embeddings.
        source: `(D,)` embedding of the source prompt.
        target: `(D,)` embedding of the target prompt.
        extents: `(A,)` how far to move: radians, or shares of the way.
        move: "turn" or "target".

    Returns:
        `(A, N, D)` float64.

    Raises:
        ParallelVectorsError: if the prompts span no plane.
        ValueError: if the move is unknown.
    """
    check_move(move)
    rotation = Rotation.of(points, source, target)
    way = torch.ones_like(rotation.angle)
    if move == "target":
        way = shorter_way(rotation.angle, rotation.plane.angle.expand_as(rotation.angle))
    return rotation.point(rotation.angle + extents.to(way)[:, None] * way)
