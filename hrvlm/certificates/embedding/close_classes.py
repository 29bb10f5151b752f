"""Nearly equal classes: margins from the differences of their weights, and what rounding leaves open even then.

A score carries the rounding of its size, so the difference of two scores says nothing of classes whose weights differ
by less. The difference of two floating-point numbers, though, is rounded relative to itself: a margin that is computed
from the difference of two weights keeps its digits however close they are. Where a winner has a close rival, or leads
by no more than rounding, certificates use such margins, and claim nothing that their error bound does not decide.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import LEAST, MOST, Sinusoids, first_change, first_crossing, lows
from hrvlm.certificates.embedding.rotation import Rotation

_EPS = sys.float_info.epsilon
_NUMBERS = 2**20  # of differences of weights that are held at once


@dataclass(frozen=True, eq=False)
class WeightDifferences:
    """Margins at some images from differences of weights, whoever wins; what no winner changes is computed once.

    Attributes:
        weight: `(U, D)` of the classes `scorer.first`.
        bias: `(N, U)` of these.
        features: `(N, D)`.
        axes: e1 and e2, `(D,)` or `(N, D)`.
        sizes: `(N,)` norms of the features.
        parts: `(N,)` components of the features along e1 and e2, 0 where no rotation moves them.
        share: `(N,)` error of a margin in units of the sizes of what it is computed from.
    """

    weight: Tensor
    bias: Tensor
    features: Tensor
    axes: tuple[Tensor, Tensor]
    sizes: Tensor
    parts: tuple[Tensor, Tensor]
    share: Tensor

    @classmethod
    def of(cls, scorer: AffineScorer, rotation: Rotation) -> WeightDifferences:
        """Those of images in the coordinates of a rotation, for the scorer of these images."""
        features, (e1, e2, angle) = rotation.features, rotation.plane
        count, (classes, dimension) = len(features), scorer.distinct.shape
        bias = scorer.bias if classes == scorer.num_classes else scorer.bias[..., scorer.first]
        first, second = ((features * axis).sum(dim=1) * ~rotation.flat for axis in (e1, e2))
        # Of sums of D products, in a plane that prompts at a small angle determine the less exactly.
        share = (8 * dimension + 64) * _EPS / angle.sin().abs().clamp(min=_EPS)
        sizes = features.norm(dim=1)
        return cls(
            scorer.distinct,
            bias.expand(count, classes),
            features,
            (e1, e2),
            sizes,
            (first, second),
            share.expand(count),
        )

    def _axes(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        first, second = (axis if axis.dim() == 1 else axis[index] for axis in self.axes)
        return first, second

    def rows(self, index: Tensor | slice) -> WeightDifferences:
        """The same of some images."""
        rest = (self.sizes[index], (self.parts[0][index], self.parts[1][index]), self.share[index])
        return WeightDifferences(self.weight, self.bias[index], self.features[index], self._axes(index), *rest)

    def over_all(self, place: int) -> tuple[Tensor, ...]:
        """A winner `scorer.first[place]` less all classes, `(N, U)` or `(U,)` where it is the same for all images.

        Returns:
            margins at the images, their parts along e1 and e2, distances of weights, sizes that errors are relative
            to, and where the squares of distances are numbers.
        """
        gap, shift = self.weight[place] - self.weight, self.bias[:, place, None] - self.bias
        start = self.features @ gap.T + shift
        along1, along2 = (axis @ gap.T for axis in self.axes)
        return start, along1, along2, *self._sized(gap, shift)

    def each_over_all(self, places: list[int]) -> tuple[Tensor, ...]:
        """As `over_all`, of each image's own winner; products are those of one image alone, to the last bit."""
        winners = torch.tensor(places, dtype=torch.long, device=self.weight.device)
        shift = self.bias.gather(1, winners[:, None]) - self.bias
        found = [torch.empty_like(shift) for _ in range(3)]
        rest = [torch.empty_like(shift), torch.empty_like(shift), torch.empty_like(shift, dtype=torch.bool)]
        for some in torch.arange(len(places), device=winners.device).split(max(1, _NUMBERS // self.weight.numel())):
            gaps = self.weight[winners[some], None] - self.weight
            for i, gap in zip(some.tolist(), gaps, strict=True):
                row = slice(i, i + 1)
                for part, vector in zip(found, (self.features[row], *self._axes(row)), strict=True):
                    part[row] = vector @ gap.T
            first, last = int(some[0]), int(some[-1]) + 1
            for part, sized in zip(rest, self.rows(slice(first, last))._sized(gaps, shift[first:last]), strict=True):
                part[first:last] = sized
        found[0] += shift
        return *found, *rest

    def _sized(self, gap: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distances of weights, sizes that errors are relative to, and where the squares of distances are numbers."""
        distances = torch.linalg.vector_norm(gap, dim=-1)
        measured = (distances > LEAST) & (distances < MOST)
        others = (~measured).nonzero(as_tuple=True)  # the winner, and few besides
        measured[others] = ~gap[others].any(dim=-1)
        return distances, distances * self.sizes[:, None] + shift.abs(), measured

    def margins(self, direction: Tensor, over: Sequence[Tensor]) -> tuple[Sinusoids, Tensor, Tensor]:
        """What `close_margins` returns, of the winners' differences `over` all classes."""
        start, along1, along2, distances, size, measured = over
        first, second = (part[:, None] for part in self.parts)
        cosine = first * along1 + second * along2
        sine = direction[:, None] * (first * along2 - second * along1)
        error = torch.where(measured, size * self.share[:, None], sys.float_info.max)
        return Sinusoids(cosine, sine, start - cosine), error, distances.expand_as(start)


def close_margins(
    scorer: AffineScorer, rotation: Rotation, direction: Tensor, winner: Tensor
) -> tuple[Sinusoids, Tensor, Tensor]:
    """Margins of a winner over all classes as functions of the angle travelled, from differences of weights.

    Args:
        scorer: scorer of these images.
        rotation: their coordinates.
        direction: `(N,)` +1 where angles grow along the way, -1 where they fall.
        winner: `(N,)` positions in `scorer.first`.

    Returns:
        Margin sinusoids `(N, U)`, bounds `(N, U)` on the error of their values, and distances `(N, U)` of the weights;
        all are 0 for the winner itself.
    """
    given, places = WeightDifferences.of(scorer, rotation), winner.unique().tolist()
    if len(places) == 1:
        return given.margins(direction, given.over_all(places[0]))
    shape = (len(winner), len(scorer.first))
    parts = [
        *(scorer.distinct.new_zeros(shape) for _ in range(5)),
        torch.ones(shape, dtype=torch.bool, device=winner.device),
    ]
    for place in places:
        rows = (winner == place).nonzero().squeeze(1)
        for part, found in zip(parts, given.rows(rows).over_all(place), strict=True):
            part[rows] = found
    return given.margins(direction, parts)


def settled(scorer: AffineScorer, rotation: Rotation, winner: Tensor) -> Tensor:
    """Positions `(N,)` of the classes that win at the images, where the scores of those given may be rounded."""
    for _ in range(len(scorer.first)):
        margin = close_margins(scorer, rotation, torch.ones_like(rotation.angle), winner)[0]
        lowest, best = (margin.cosine + margin.offset).min(dim=1)
        if not bool((lowest < 0).any()):
            break
        winner = torch.where(lowest < 0, best, winner)
    return winner


def doubtful(scorer: AffineScorer, scores: Tensor, winner: Tensor, tolerance: Tensor) -> Tensor:
    """Where a winner `(N,)` has a close rival, or leads the scores `(N, U)` by no more than their error `(N,)`."""
    found = scorer.crowded[winner]
    if scores.shape[1] > 1:
        best = scores.topk(2, dim=1).values
        found = found | (best[:, 0] - best[:, 1] <= tolerance)
    return found


def first_change_told(
    scorer: AffineScorer, rotation: Rotation, direction: Tensor, sinusoids: Sinusoids, winner: Tensor, doubted: Tensor
) -> tuple[Tensor, Tensor]:
    """As `first_change` for the winners at some images, stopped where rounding can no longer tell that they lead.

    Args:
        scorer: scorer of these images.
        rotation: their coordinates.
        direction: `(N,)` as in `close_margins`.
        sinusoids: scores along the way.
        winner: `(N,)` positions in `scorer.first`.
        doubted: `(N,)` where margins of scores are not trusted, see `doubtful`.
    """
    angle, sound = first_change(sinusoids, winner)
    rows = doubted.nonzero().squeeze(1)
    if not rows.numel():
        return angle, sound
    margin, error, _ = close_margins(scorer.rows(rows), rotation.rows(rows), direction[rows], winner[rows])
    least = Sinusoids(margin.cosine, margin.sine, margin.offset - error)
    reach = first_crossing(least)[0].clamp(max=math.pi)
    wins = ((least.cosine + least.offset >= 0) & (lows(least, reach) >= -error / 2)).all(dim=1)
    return angle.index_copy(0, rows, reach), sound.index_copy(0, rows, wins)
