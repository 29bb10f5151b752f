"""The calibrated stretches of all levels and scorers at once, along the same changes of one image.

A level has few classes and an image few changes, so that what a stretch costs is less the arithmetic than the number
of steps it takes. Classes of all levels stand side by side as columns, and every step is one for all. Of a change only
the columns are looked at over which some margin is so small that it may end a stretch: one in five, or fewer.
Stretches are those of `FirstStretches`, which calibration measures level by level over many images.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import Sinusoids, half_crossings
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_extent import first_interval
from hrvlm.certificates.kinds.semantic.calibrated_stretch import Ending
from hrvlm.certificates.kinds.semantic.certify import Extent
from hrvlm.certificates.kinds.semantic.stable_arcs import stable_pieces

_NEAR = 1e-9  # of scores: rounding is far below


@dataclass(frozen=True, eq=False)
class Level:
    """One level along N changes.

    Attributes:
        scorer: of the image.
        rotation: of the changes.
        extent: of their targets.
        partition: along them.
        sinusoids: scores `(N, U)`.
    """

    scorer: AffineScorer
    rotation: Rotation
    extent: Extent
    partition: SemanticPartition
    sinusoids: Sinusoids


class LevelStretches:
    """The margins of an image's label at each of L levels, from the image to where that label first changes.

    Args:
        levels: along the same N changes, at least one.

    Attributes:
        whole: `(N, L)` radians that each label holds, in [0, pi]; 0 where nothing is certified.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
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
        self._distances = torch.cat([scorer.distances(column) for scorer, column in pairs], dim=1)
        own = torch.cat([scorer.repeated for scorer, _ in pairs])[winner]
        self._distances.scatter_(1, winner, torch.where(own, math.inf, -math.inf).to(self._distances))
        self._error = self._ties(torch.stack([level.sinusoids.tolerance() for level in levels], dim=1))
        for level, column, start in zip(levels, winners, first, strict=True):
            if bool(level.scorer.crowded[column].any()):
                self._put_close(level, start)

    def _ties(self, tolerance: Tensor) -> Tensor:
        """Errors `(N, C)` of margins that are nothing but rounding all the way, see `stable_pieces`; 0 of others."""
        margin = self._margin
        size = margin.cosine.abs().add_(margin.sine.abs()).add_(margin.offset.abs())
        known = tolerance[:, self._level]
        return torch.where((size <= known) & self._distances.isfinite(), 2 * known, 0.0)

    def _put_close(self, level: Level, start: int) -> None:
        """Margins and errors of a level where the label has close classes, whose scores tell too little."""
        columns = slice(start, start + len(level.scorer.first))
        for piece in stable_pieces(level.scorer, level.rotation, first_interval(level.partition), level.sinusoids):
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
        place, columns, starts = self._near(thresholds, weights, growth)
        rows = place // len(self._sizes)
        distances = self._distances[rows, columns]
        finite = distances.isfinite()
        weighed, growing = (part.flatten(1)[:, place] for part in (weights, growth))
        unit = torch.where(weighed, torch.where(finite, distances, 0.0), finite.to(distances))
        asked = thresholds.flatten(1)[:, place] * unit
        cosine, sine, offset = (
            part[rows, columns] for part in (self._margin.cosine, self._margin.sine, self._margin.offset)
        )
        rest = torch.where(finite, 0.0, distances) + self._error[rows, columns]
        sine, offset = sine - growing * asked, offset - (asked + rest)
        half = half_crossings(Sinusoids(cosine.expand_as(sine), sine, offset))
        (crossing, overtaker), (least, worst) = (
            [part.view(thresholds.shape) for part in _least(values, starts)] for values in (half, cosine + offset)
        )
        blocked = least <= 0
        angle = torch.where(crossing.isinf(), math.inf, 2 * crossing.atan())
        ended = (blocked | (angle < self.whole)) & (self.whole > 0)
        extent = torch.where(blocked, 0.0, torch.minimum(angle, self.whole))
        found = columns[torch.where(blocked, worst, overtaker)]
        return extent, torch.where(ended, found, -1), self._classes[found]

    def _near(self, thresholds: Tensor, weights: Tensor, growth: Tensor) -> tuple[Tensor, Tensor, np.ndarray]:
        """Columns of changes over which some margin is somewhere no more than asked, at least one of a level.

        Returns:
            `(P,)` change and level of each, as positions in `(N, L)`, not falling; `(P,)` columns; and `(N * L,)` where
            those of each change and level begin.
        """
        most = thresholds * (1 + growth.clamp(min=0))
        distance, plain = (torch.where(mask, most, 0.0).amax(dim=0)[:, self._level] for mask in (weights, ~weights))
        asked = torch.where(self._distances.isfinite(), distance * self._distances + plain, self._distances)
        found = self._lows() <= asked.add_(self._error).add_(_NEAR)
        found[:, self._first] = True
        rows, columns = found.nonzero().unbind(dim=1)
        place = rows * len(self._sizes) + self._level[columns]
        counts = place.bincount(minlength=self.whole.numel()).cpu().numpy()
        return place, columns, counts.cumsum() - counts

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


def _least(values: Tensor, starts: np.ndarray) -> tuple[Tensor, Tensor]:
    """Smallest of the values `(M, P)` of each of S parts, which begin at `starts` `(S,)`, and the first place of it."""
    given = values.cpu().numpy()
    least = np.minimum.reduceat(given, starts, axis=1)
    number = np.arange(given.shape[1])
    counts = np.diff(starts, append=len(number))
    first = np.where(given == least.repeat(counts, axis=1), number, len(number) - 1)  # of none where it is not a number
    places = np.minimum.reduceat(first, starts, axis=1)
    return torch.from_numpy(least).to(values), torch.from_numpy(places).to(values.device)
