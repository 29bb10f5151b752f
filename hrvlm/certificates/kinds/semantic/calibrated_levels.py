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
from functools import cached_property

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


@dataclass(frozen=True, eq=False)
class AskedMargins:
    """M thresholds of N changes at L levels.

    Attributes:
        thresholds: `(M, N, L)`, >= 0.
        weights: `(M, N, L)` whether they are in units of the weights' distances.
        growth: `(M, N, L)` of them, see `ThresholdScale`.
    """

    thresholds: Tensor
    weights: Tensor
    growth: Tensor

    @cached_property
    def of_places(self) -> tuple[Tensor, Tensor, Tensor]:
        """Thresholds, units and growth, `(M, N * L)` each."""
        return self.thresholds.flatten(1), self.weights.flatten(1), self.growth.flatten(1)

    @cached_property
    def most(self) -> tuple[Tensor, Tensor]:
        """The most that is asked anywhere, `(N, L)`: in units of the weights' distances, and of margins."""
        most = self.thresholds * (1 + self.growth.clamp(min=0))
        by_distance, plain = (torch.where(mask, most, 0.0).amax(dim=0) for mask in (self.weights, ~self.weights))
        return by_distance, plain

    def to(self, device: torch.device) -> AskedMargins:
        """The same on a device."""
        if self.thresholds.device == device:
            return self
        return AskedMargins(*(part.to(device) for part in (self.thresholds, self.weights, self.growth)))


class Columns:
    """The classes of several levels side by side.

    Args:
        scorers: of L levels.

    Attributes:
        sizes: how many columns each level has.
        starts: `(L,)` the first column of each.
        level: `(C,)` of each column.
        classes: `(C,)` index of each in its level.
        repeated: `(C,)` whether another class of the level is the same.
        crowded: `(C,)` whether another class of the level is close.
    """

    def __init__(self, scorers: Sequence[AffineScorer]) -> None:
        self._first = [scorer.first for scorer in scorers]
        self.sizes = [len(first) for first in self._first]
        counts = torch.tensor(self.sizes, dtype=torch.long, device=self._first[0].device)
        self.starts, self.level = counts.cumsum(0) - counts, torch.repeat_interleave(counts)
        self.classes = torch.cat(self._first)
        self.repeated, self.crowded = (
            torch.cat([getattr(scorer, name) for scorer in scorers]) for name in ("repeated", "crowded")
        )

    def are_of(self, scorers: Sequence[AffineScorer]) -> bool:
        """Whether they are those of scorers that were made, with other biases, of the same ones."""
        return all(scorer.first is first for scorer, first in zip(scorers, self._first, strict=True))


class LevelStretches:
    """The margins of an image's label at each of L levels, from the image to where that label first changes.

    Args:
        levels: along the same N changes, at least one.
        columns: of the levels' scorers, where they are known.

    Attributes:
        whole: `(N, L)` radians that each label holds, in [0, pi]; 0 where nothing is certified.
    """

    def __init__(self, levels: Sequence[Level], columns: Columns | None = None) -> None:
        self.columns = columns or Columns([level.scorer for level in levels])
        self.whole = torch.stack([level.partition.extent for level in levels], dim=1)
        places = [torch.searchsorted(level.scorer.first, level.partition.label) for level in levels]
        winner = torch.stack(places, dim=1) + self.columns.starts
        parts = zip(*((s.cosine, s.sine, s.offset) for s in (level.sinusoids for level in levels)), strict=True)
        scores = Sinusoids(*(torch.cat(part, dim=1) for part in parts))
        self._margin = scores.minus(winner[:, self.columns.level])
        far = [level.scorer.distances(place) for level, place in zip(levels, places, strict=True)]
        self._distances = torch.cat(far, dim=1)
        own = torch.where(self.columns.repeated[winner], math.inf, -math.inf)
        self._distances.scatter_(1, winner, own.to(self._distances))
        self._error = torch.zeros_like(self._distances)
        self._put_ties(levels, scores)
        crowded = self.columns.crowded[winner].any(dim=0).tolist()
        for level, close, start in zip(levels, crowded, self.columns.starts.tolist(), strict=True):
            if close:
                self._put_close(level, start)

    def _put_ties(self, levels: Sequence[Level], scores: Sinusoids) -> None:
        """Errors of margins that are nothing but rounding all the way, see `stable_pieces`."""
        margin = self._margin
        size = margin.cosine.abs().add_(margin.sine.abs()).add_(margin.offset.abs())
        size = torch.where(self._distances.isfinite(), size, math.inf)
        # That of all is at least that of each, or no number where a score of some level is none.
        if not bool((size > scores.tolerance()[:, None]).all()):
            known = torch.stack([level.sinusoids.tolerance() for level in levels], dim=1)[:, self.columns.level]
            self._error = torch.where(size <= known, 2 * known, 0.0)

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

    def reaches(self, asked: AskedMargins) -> tuple[Tensor, Tensor, Tensor]:
        """Stretches at M thresholds: radians, columns of the classes that end them, -1 for none, and those classes.

        Args:
            asked: of the margins.

        Returns:
            `(M, N, L)` each.
        """
        place, columns, starts = self._near(asked)
        rows, margin = place // self.whole.shape[1], self._margin
        parts = (margin.cosine, margin.sine, margin.offset, self._distances, self._error)
        cosine, sine, offset, distances, error = (part[rows, columns] for part in parts)
        finite = distances.isfinite()
        threshold, weighed, growth = (part.index_select(1, place) for part in asked.of_places)
        unit = torch.where(weighed, torch.where(finite, distances, 0.0), finite.to(distances))
        least_margin = threshold * unit
        rest = torch.where(finite, 0.0, distances) + error
        sine, offset = sine - growth * least_margin, offset - (least_margin + rest)
        half = half_crossings(Sinusoids(cosine.expand_as(sine), sine, offset))
        (crossing, overtaker), (least, worst) = (
            [part.view(-1, *self.whole.shape) for part in _least(values, starts)] for values in (half, cosine + offset)
        )
        blocked = least <= 0
        angle = torch.where(crossing.isinf(), math.inf, 2 * crossing.atan())
        certified = self.whole > 0  # elsewhere scores may be no numbers
        ended = (blocked | (angle < self.whole)) & certified
        extent = torch.where(certified & ~blocked, torch.minimum(angle, self.whole), 0.0)
        found = columns[torch.where(blocked, worst, overtaker)]
        return extent, torch.where(ended, found, -1), self.columns.classes[found]

    def _near(self, asked: AskedMargins) -> tuple[Tensor, Tensor, np.ndarray]:
        """Columns of changes over which some margin is somewhere no more than asked, at least one of a level.

        Returns:
            `(P,)` change and level of each, as positions in `(N, L)`, not falling; `(P,)` columns; and `(N * L,)` where
            those of each change and level begin.
        """
        by_distance, plain = (part.index_select(1, self.columns.level) for part in asked.most)
        least = torch.where(self._distances.isfinite(), by_distance * self._distances + plain, self._distances)
        found = self._lows() <= least.add_(self._error).add_(_NEAR)
        found[:, self.columns.starts] = True
        rows, columns = found.nonzero(as_tuple=True)
        place = rows * self.whole.shape[1] + self.columns.level[columns]
        counts = place.bincount(minlength=self.whole.numel()).cpu().numpy()
        return place, columns, counts.cumsum() - counts

    def _lows(self) -> Tensor:
        """Smallest value `(N, C)` of each margin until its label changes, as `envelope.lows` has it for one length."""
        margin = self._margin
        cos, sin = (part.index_select(1, self.columns.level) for part in (self.whole.cos(), self.whole.sin()))
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
