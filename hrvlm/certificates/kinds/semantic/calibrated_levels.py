"""The calibrated stretches of all levels of a tree at once, along the same changes of one image.

A level has few classes and an image few changes, so that what a stretch costs is less the arithmetic than the number
of steps it takes. Levels share a rotation: their classes stand side by side as columns, and every step is one for all.
Stretches are those of `FirstStretches`, which calibration measures level by level over many images.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import Sinusoids, half_crossings
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_extent import first_interval
from hrvlm.certificates.kinds.semantic.calibrated_stretch import Ending
from hrvlm.certificates.kinds.semantic.stable_arcs import stable_pieces, weight_distances

_NEAR = 1e-9  # of scores: rounding is far below


@dataclass(frozen=True, eq=False)
class Level:
    """One level along N changes: its scorer, the partition, and the scores `(N, U)` as sinusoids."""

    scorer: AffineScorer
    partition: SemanticPartition
    sinusoids: Sinusoids


class LevelStretches:
    """The margins of an image's label at each of L levels, from the image to where that label first changes.

    Args:
        levels: of one rotation, at least one.
        rotation: of N changes.

    Attributes:
        whole: `(N, L)` radians that each label holds, in [0, pi]; 0 where nothing is certified.
    """

    def __init__(self, levels: Sequence[Level], rotation: Rotation) -> None:
        self.whole = torch.stack([level.partition.extent for level in levels], dim=1)
        self._sizes = [len(level.scorer.first) for level in levels]
        first = [sum(self._sizes[:i]) for i in range(len(levels))]
        winners = [torch.searchsorted(level.scorer.first, level.partition.label) for level in levels]
        device = self.whole.device
        self._first = torch.tensor(first, dtype=torch.long, device=device)
        self._level = torch.repeat_interleave(torch.tensor(self._sizes, dtype=torch.long, device=device))
        self._classes = torch.cat([level.scorer.first for level in levels])
        winner = torch.stack(winners, dim=1) + self._first
        parts = zip(*((s.cosine, s.sine, s.offset) for s in (level.sinusoids for level in levels)), strict=True)
        self._margin = Sinusoids(*(torch.cat(part, dim=1) for part in parts)).minus(winner[:, self._level])
        pairs = [(level.scorer, column) for level, column in zip(levels, winners, strict=True)]
        self._distances = torch.cat([weight_distances(scorer.distinct, column) for scorer, column in pairs], dim=1)
        own = torch.cat([scorer.repeated for scorer, _ in pairs])[winner]
        self._distances.scatter_(1, winner, torch.where(own, math.inf, -math.inf).to(self._distances))
        self._error = self._ties(torch.stack([level.sinusoids.tolerance() for level in levels], dim=1))
        for level, column, start in zip(levels, winners, first, strict=True):
            if bool(level.scorer.crowded[column].any()):
                self._put_close(level, rotation, start)

    def _ties(self, tolerance: Tensor) -> Tensor:
        """Errors `(N, C)` of margins that are nothing but rounding all the way, see `stable_pieces`; 0 of others."""
        margin = self._margin
        size = margin.cosine.abs().add_(margin.sine.abs()).add_(margin.offset.abs())
        known = tolerance[:, self._level]
        return torch.where((size <= known) & self._distances.isfinite(), 2 * known, 0.0)

    def _put_close(self, level: Level, rotation: Rotation, start: int) -> None:
        """Margins and errors of a level where the label has close classes, whose scores tell too little."""
        columns = slice(start, start + len(level.scorer.first))
        for piece in stable_pieces(level.scorer, rotation, first_interval(level.partition), level.sinusoids):
            pairs = [(self._error, piece.error)]
            pairs += [
                (getattr(self._margin, name), getattr(piece.margin, name)) for name in ("cosine", "sine", "offset")
            ]
            for held, better in pairs:
                held[piece.rows, columns] = better

    def reaches(self, thresholds: Tensor, weights: Tensor, growth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Stretches at M thresholds: radians, columns of the classes that end them, -1 for none, and those classes.

        Args:
            thresholds: `(M, N, L)`, >= 0.
            weights: whether they are in units of the weights' distances.
            growth: of them, see `ThresholdScale`.

        Returns:
            `(M, N, L)` each.
        """
        columns, sizes = self._near(thresholds, weights, growth)
        level = self._level[columns]
        distances, finite = self._distances[:, columns], self._distances[:, columns].isfinite()
        unit = torch.where(weights[..., level], torch.where(finite, distances, 0.0), finite.to(distances))
        asked = thresholds[..., level] * unit
        margin, rest = self._margin.columns(columns), torch.where(finite, 0.0, distances) + self._error[:, columns]
        sine = margin.sine - growth[..., level] * asked
        offset = margin.offset - (asked + rest)
        half = half_crossings(Sinusoids(margin.cosine.expand_as(sine), sine, offset)).split(sizes, dim=-1)
        crossing, overtaker = _least(half)
        least, worst = _least((margin.cosine + offset).split(sizes, dim=-1))
        blocked = least <= 0
        angle = torch.where(crossing.isinf(), math.inf, 2 * crossing.atan())
        ended = (blocked | (angle < self.whole)) & (self.whole > 0)
        extent = torch.where(blocked, 0.0, torch.minimum(angle, self.whole))
        found = columns[torch.where(blocked, worst, overtaker)]
        return extent, torch.where(ended, found, -1), self._classes[found]

    def _near(self, thresholds: Tensor, weights: Tensor, growth: Tensor) -> tuple[Tensor, list[int]]:
        """Columns over which some margin is somewhere no more than asked, at least one of a level; their numbers."""
        most = thresholds * (1 + growth.clamp(min=0))
        distance, plain = (torch.where(mask, most, 0.0).amax(dim=0)[:, self._level] for mask in (weights, ~weights))
        asked = torch.where(self._distances.isfinite(), distance * self._distances + plain, self._distances)
        found = (self._lows() <= asked.add_(self._error).add_(_NEAR)).any(dim=0)
        found[self._first] = True
        return found.nonzero().squeeze(1), torch.bincount(self._level[found], minlength=len(self._sizes)).tolist()

    def _lows(self) -> Tensor:
        """Smallest value `(N, C)` of each margin until its label changes, as `envelope.lows` has it for one length."""
        margin = self._margin
        cos, sin = (part[:, self._level] for part in (self.whole.cos(), self.whole.sin()))
        end = torch.addcmul(margin.offset, margin.cosine, cos).addcmul_(margin.sine, sin)
        slope = torch.addcmul(margin.sine * cos, margin.cosine, sin, value=-1)
        inside = (margin.sine < 0).logical_and_(slope > 0)
        bottom = margin.offset - torch.addcmul(margin.cosine.square(), margin.sine, margin.sine).sqrt_()
        return torch.where(inside, bottom, torch.minimum(margin.cosine + margin.offset, end))

    def bounds(self, pairs: Collection[tuple[int, int]]) -> list[Ending]:
        """What ends stretches of changes at columns.

        The margin is ``a cos t + b sin t + c`` at t radians past the image; the error of its values is 0 where the
        difference of the scores is as good.
        """
        rows, columns = torch.tensor(list(pairs), dtype=torch.long, device=self.whole.device).reshape(-1, 2).unbind(1)
        margin = self._margin
        parts = (self._distances, margin.cosine, margin.sine, margin.offset, self._error)
        numbers = torch.stack([part[rows, columns] for part in parts], dim=1).tolist()
        return [(far if math.isfinite(far) else 0.0, (a, b, c), error) for far, a, b, c, error in numbers]


def _least(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Smallest value `(..., L)` of each of L parts `(..., C_l)`, and its place among all columns."""
    found, start = [], 0
    for part in parts:
        value, place = part.min(dim=-1)
        found.append((value, place + start))
        start += part.shape[-1]
    values, places = zip(*found, strict=True)
    return torch.stack(values, dim=-1), torch.stack(places, dim=-1)
