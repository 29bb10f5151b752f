"""Where in an interval of a partition the label is stable: the complement of a union of arcs, one or two per class.

See `misalignment` for what stable means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.close_classes import close_margins
from hrvlm.certificates.embedding.envelope import Sinusoids, lows
from hrvlm.certificates.embedding.partition import SemanticPartition, chunks
from hrvlm.certificates.embedding.rotation import Rotation

_NOTHING = 1e-9  # an arc of this share of its interval bounds nothing; at delta 0 rounding makes such at the ends


class FailingArcs(NamedTuple):
    """Where the margins of a piece do not exceed what a misalignment bound asks of them."""

    low: Tensor  # (n, 2U) where the arcs begin, cut to the interval, increasing
    high: Tensor  # (n, 2U) and where they end
    column: Tensor  # (n, 2U) their classes
    slack: Tensor  # (n, U) what each margin must exceed


class StablePiece(NamedTuple):
    """One interval of each of some images: the winner's margins over all classes, measured from where it begins."""

    rows: Tensor  # (n,) images
    origin: Tensor  # (n,) angle in the plane where the interval begins
    stop: Tensor  # (n,) and where it ends
    label: Tensor  # (n,)
    length: Tensor  # (n,)
    margin: Sinusoids  # (n, U)
    distances: Tensor  # (n, U) of the winner's weight to all; inf to itself if it has a duplicate, -inf if not
    error: (
        Tensor  # (n, U) of margins that rounding bears on: of close classes, and of those that tie all the way; else 0
    )

    def failing(self, delta: float) -> FailingArcs:
        """Arcs on which a misalignment of delta may change the label."""
        slack = torch.where(self.distances.isfinite(), delta * self.distances, self.distances) + self.error
        return FailingArcs(*_failing(self.margin, slack, self.length), slack)

    def stable(self, arcs: FailingArcs) -> tuple[Tensor, Tensor, Tensor]:
        """Stable arcs, (n, 2U + 1) angles travelled in the interval with low < high, and whether its start is stable.

        The winner does not compete with itself, except through a duplicate, whose margin of 0 is never enough.
        """
        low, high, _, slack = arcs
        zero, end = torch.zeros_like(self.length)[:, None], self.length[:, None]
        begins = (self.margin.cosine + self.margin.offset > slack).all(dim=1)
        return torch.cat([zero, high.cummax(dim=1).values], dim=1), torch.cat([low, end], dim=1), begins

    def binding(self, arcs: FailingArcs) -> Tensor:
        """Classes `(n, U)` whose failing arcs cover, up to `_NOTHING`, what all cover; at a point, the worst one."""
        low, high, column, slack = arcs
        covered = torch.cat([torch.zeros_like(high[:, :1]), high.cummax(dim=1).values[:, :-1]], dim=1)
        needed = (
            torch.zeros_like(slack).scatter_add_(
                1, column, (high - torch.maximum(low, covered) > _NOTHING * self.length[:, None]).to(slack)
            )
            > 0
        )
        lack = slack - self.margin.cosine - self.margin.offset
        most = torch.zeros_like(needed).scatter_(1, lack.argmax(dim=1, keepdim=True), True) & (lack >= 0)
        return torch.where((self.length == 0)[:, None], most, needed)

    def first_bound(self) -> tuple[Tensor, Tensor]:
        """Largest delta `(n,)` at which all of each interval is stable, inf if at any, and the class that bounds it."""
        room = (lows(self.margin, self.length) - self.error).clamp(min=0)
        ratio = torch.where(room > 0, room / self.distances.abs(), 0.0)
        return torch.where(self.distances == -math.inf, math.inf, ratio).min(dim=1)


def stable_pieces(
    scorer: AffineScorer, rotation: Rotation, partition: SemanticPartition, sinusoids: Sinusoids | None = None
) -> Iterator[StablePiece]:
    """One interval of the partition after the other; nothing where the partition certifies nothing.

    Args:
        scorer: classifier.
        rotation: of N images.
        partition: along it.
        sinusoids: `(N, U)` those of `rotation.sinusoids`, where they are known.
    """
    if not bool((partition.labels >= 0).any()):
        return
    direction = partition.direction
    for part in chunks(len(partition), scorer.num_classes):
        if sinusoids is None:
            waves = rotation.rows(part).sinusoids(scorer.rows(part), direction[part])
        else:
            waves = sinusoids.rows(part)
        tolerance = waves.tolerance()
        for f in range(partition.labels.shape[1]):
            rows = part.start + (partition.labels[part, f] >= 0).nonzero().squeeze(1)
            if rows.numel():
                piece = _piece(scorer, waves.rows(rows - part.start), rows, f, partition)
                piece = _with_close(piece, scorer, rotation, direction, partition.start)
                yield _with_ties(piece, tolerance[rows - part.start])


def _piece(
    scorer: AffineScorer, sinusoids: Sinusoids, rows: Tensor, f: int, partition: SemanticPartition
) -> StablePiece:
    """Interval f of images `rows`, whose sinusoids are given."""
    origin, stop, label = partition.breaks[rows, f], partition.breaks[rows, f + 1], partition.labels[rows, f]
    winner = torch.searchsorted(scorer.first, label)
    margin = sinusoids.turned((origin - partition.start[rows]).abs()).minus(winner)
    own = torch.where(scorer.repeated[winner], math.inf, -math.inf)[:, None].double()
    distances = scorer.distances(winner).scatter(1, winner[:, None], own)
    length, error = (stop - origin).abs(), torch.zeros_like(distances)
    return StablePiece(rows, origin, stop, label, length, margin, distances, error)


def _with_close(
    piece: StablePiece, scorer: AffineScorer, rotation: Rotation, direction: Tensor, start: Tensor
) -> StablePiece:
    """The piece with the margins over close classes from the differences of their weights, and their errors."""
    winner = torch.searchsorted(scorer.first, piece.label)
    some = scorer.crowded[winner].nonzero().squeeze(1)
    if not some.numel():
        return piece
    rows = piece.rows[some]
    sinusoids, error, distances = close_margins(scorer.rows(rows), rotation.rows(rows), direction[rows], winner[some])
    fine = sinusoids.turned((piece.origin[some] - start[rows]).abs())
    close = (distances <= scorer.closeness) & piece.distances[some].isfinite()

    def mixed(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, some, torch.where(close, new, old[some]))

    parts = zip((piece.margin.cosine, piece.margin.sine, piece.margin.offset), (fine.cosine, fine.sine, fine.offset),
                strict=True)  # fmt: skip
    return piece._replace(margin=Sinusoids(*(mixed(*both) for both in parts)), error=mixed(piece.error, error))


def _with_ties(piece: StablePiece, tolerance: Tensor) -> StablePiece:
    """The piece where margins that are nothing but rounding `(n,)` all the way are never enough."""
    margin = piece.margin
    here = (margin.cosine + margin.offset).abs()
    along = torch.where(
        (piece.length == 0)[:, None], here, margin.cosine.abs() + margin.sine.abs() + margin.offset.abs()
    )
    tied = (along <= tolerance[:, None]) & piece.distances.isfinite() & (piece.error == 0)
    return piece._replace(error=torch.where(tied, 2 * tolerance[:, None], piece.error))


def _failing(margin: Sinusoids, slack: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where on [0, length] each margin does not exceed its slack.

    Margin j fails where ``R cos(x - psi) <= slack - offset``: on the arc from psi + h to psi + 2 pi - h with
    ``h = arccos((slack - offset) / R)``. A range of at most half a turn from 0 meets that arc or the one a turn before.

    Returns:
        low, high `(n, 2U)`: the failing arcs, cut to the range, by increasing low; and their classes `(n, 2U)`.
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
    return low, high, order % margin.offset.shape[1]
