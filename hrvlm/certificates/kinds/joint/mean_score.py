"""Joint certificates of the mean-score classifier: the alternative to the vote on extents, for comparison.

The classifier here answers with the class of the highest MEAN score over the noise; for plain cosines that is the class
of the mean embedding. Its margin over a rival after a turn by phi is the mean of `A cos phi + B sin phi + C` with A, B
and C linear in what the copies give, so three angles fix it for all. The six bounds of every rival share alpha; the
mean of a margin of known range then shifts with the image no faster than a label's probability does.

What is claimed differs from the vote's: the two classifiers are not interchangeable. Margins of image-text models use
a small part of their range, which makes these certificates weak. All n embeddings are held at once.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.kinds.joint.extents import move_points
from hrvlm.certificates.statistics.means import betting_lower, betting_upper
from hrvlm.certificates.statistics.special import ndtri

_CHUNK = 2**21
_HALVINGS = 40
_ROUNDING = 64.0 * sys.float_info.epsilon
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MarginRange:
    """What margins of a class over its rivals can be at all: `(K - 1,)` each, in score units, rivals in class order."""

    low: Tensor
    high: Tensor

    @classmethod
    def cosine(cls, text_features: Tensor, label: int) -> MarginRange:
        """Range for unit embeddings and unit class embeddings `(K, D)`: plus or minus the distance of two classes."""
        far = _rivals((text_features[label] - text_features).double().norm(dim=1), label)
        return cls(-far, far)

    @classmethod
    def poincare(cls, text_points: Tensor, label: int, curv: float) -> MarginRange:
        """Range for image points anywhere in the ball, under the scores of `AffineScorer.poincare`."""
        points = text_points.double()
        square = points.square().sum(dim=1)
        factor = 1 / (1 - curv * square)
        far = 2 * (points[label] * factor[label] - points * factor[:, None]).norm(dim=1) / math.sqrt(curv)
        bend = -(factor[label] - factor) / curv
        offset = -(square[label] * factor[label] - square * factor)
        size = factor * (1 / curv + square + 2 * (square / curv).sqrt())
        far = far + _ROUNDING * (size[label] + size)  # of nearly equal classes rounding is the larger part
        low, high = -far + bend.clamp(max=0) + offset, far + bend.clamp(min=0) + offset
        return cls(_rivals(low, label), _rivals(high, label))


@dataclass(frozen=True, eq=False)
class MeanBounds:
    """Bounds on the mean margins of a class, scaled to [0, 1], at the angles 0, longest / 2 and longest.

    Attributes:
        lower: `(3, R)`.
        upper: `(3, R)`; all bounds hold together with probability at least 1 - alpha.
        zero: `(R,)` where a margin of 0 lies on that scale.
        longest: radians; nothing is claimed beyond.
        sigma: standard deviation of the noise.
    """

    lower: Array
    upper: Array
    zero: Array
    longest: float
    sigma: float

    def radius(self, extent: float) -> float:
        """L2 radius within which the class wins at every turn from 0 to `extent`; valid for all extents at once.

        Raises:
            ValueError: if the extent lies outside 0 to `longest`.
        """
        if not 0 <= extent <= self.longest:
            raise ValueError(f"expected an extent from 0 to {self.longest:g}, got {extent}")
        if not len(self.zero):
            return math.inf
        lowest = self._lowest(extent)
        with np.errstate(invalid="ignore"):
            gain = np.where(lowest > self.zero, ndtri(np.clip(lowest, 0, 1)) - ndtri(self.zero), 0.0)
        return self.sigma * float(gain.min())

    def extent(self, radius: float) -> float | None:
        """Largest extent whose radius is at least this, rounded down; None where there is none."""
        if self.radius(0.0) < radius or self.radius(0.0) == 0:
            return None
        low, high = 0.0, self.longest
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            holds = self.radius(middle) >= max(radius, 5e-324)
            low, high = (middle, high) if holds else (low, middle)
        return self.longest if self.radius(self.longest) >= max(radius, 5e-324) else low

    def _lowest(self, extent: float) -> Array:
        """Smallest lower bound `(R,)` over the turns from 0 to extent."""
        half = self.longest / 2
        first = _curve(np.stack([self.lower[0], self.lower[1], self.upper[2]]), self.longest)
        lowest = _valley(first, 0.0, min(extent, half))
        if extent > half:
            second = _curve(np.stack([self.upper[0], self.lower[1], self.lower[2]]), self.longest)
            lowest = np.minimum(lowest, _valley(second, half, extent))
        return lowest


def mean_bounds(
    scorer: AffineScorer,
    points: Tensor,
    source: Tensor,
    target: Tensor,
    label: int,
    possible: MarginRange,
    *,
    longest: float,
    sigma: float,
    alpha: float,
) -> MeanBounds:
    """Bounds on the mean margins of a class over all rivals, for every turn from source to target up to `longest`.

    A copy whose scores are not finite counts with the lowest margins that are possible, at every angle: whatever the
    classifier makes of it, the others outweigh it where something is claimed.

    Args:
        scorer: scorer of exactly these points.
        points: `(n, D)` embeddings of noisy copies, independent of how the class was chosen.
        source: `(D,)` embedding of the source prompt.
        target: `(D,)` embedding of the target prompt.
        label: class that the claim is about.
        possible: what its margins can be at all.
        longest: largest turn, in (0, pi].
        sigma: standard deviation of the noise.
        alpha: error probability of all that the result claims, together.

    Raises:
        ParallelVectorsError: if the prompts span no plane.
        ValueError: if `longest` lies outside its range or a margin outside what is possible.
    """
    if not 0 < longest <= math.pi:
        raise ValueError(f"expected longest in (0, pi], got {longest}")
    nodes = torch.tensor([0.0, longest / 2, longest], dtype=torch.float64)
    moved = move_points(points, source, target, nodes.to(points.device))
    begin, width = _padded(possible)
    share = alpha / (6 * max(1, len(width)))
    lower, upper = [], []
    finite = scorer.scores(points).isfinite().all(dim=1)
    # From differences of weights: a difference of scores says nothing of nearly equal classes.
    gaps, shift = scorer.weight[label] - scorer.weight, scorer.bias[..., label, None] - scorer.bias
    for at in moved:
        margins = _rivals((at @ gaps.T + shift).T, label).T
        scaled = torch.where(finite[:, None], (margins - possible.low) / width, 0.0).cpu().numpy()
        if scaled.size and not (scaled.min() >= -1e-9 and scaled.max() <= 1 + 1e-9):
            raise ValueError("expected margins within what is possible, got others: do range and scorer fit?")
        parts = np.array_split(scaled, max(1, scaled.size // _CHUNK), axis=1)
        lower.append(np.concatenate([betting_lower(part, share) for part in parts], axis=-1))
        upper.append(np.concatenate([betting_upper(part, share) for part in parts], axis=-1))
    zero = (-begin / width).clamp(0, 1).cpu().numpy()
    return MeanBounds(np.stack(lower), np.stack(upper), zero, longest, sigma)


def _padded(possible: MarginRange) -> tuple[Tensor, Tensor]:
    """Lower ends and widths of the ranges, wider by more than rounding, so that identical classes have one too."""
    width = possible.high - possible.low
    pad = 1e-9 * width.amax().clamp_min(1e-9) if len(width) else width.new_zeros(())
    return possible.low - pad, width + 2 * pad


def _rivals(values: Tensor, label: int) -> Tensor:
    """The rows of all classes but one."""
    return torch.cat([values[:label], values[label + 1 :]])


def _curve(values: Array, longest: float) -> Array:
    """Coefficients `(3, R)` of 1, cos, sin of the curves through values `(3, R)` at 0, longest / 2 and longest."""
    nodes = np.array([0.0, longest / 2, longest])
    return np.linalg.solve(np.stack([np.ones(3), np.cos(nodes), np.sin(nodes)], axis=1), values)


def _valley(curve: Array, begin: float, end: float) -> Array:
    """Smallest value `(R,)` of curves from begin to end, an interval of at most half a turn."""
    constant, cos, sin = curve
    ends = np.minimum(*(constant + cos * math.cos(x) + sin * math.sin(x) for x in (begin, end)))
    bottom = np.arctan2(-sin, -cos) % (2 * math.pi)
    inside = (bottom > begin) & (bottom < end)
    return np.where(inside, constant - np.hypot(cos, sin), ends)
