"""Upper envelope of sinusoids: which class wins where, along one rotation of an embedding.

Along a rotation every affine score is a sinusoid of the angle x travelled since the image,
``s_k(x) = cosine_k cos x + sine_k sin x + offset_k``, and the classifier's label is the index of the highest one.
Instead of solving all O(K^2) pairs, the envelope is swept (see `envelope_sweep`): from the current winner to its first
crossing with any class, and on from there.

A crossing of ``a cos x + b sin x + c`` is found through ``u = tan(x/2)``, which turns it into the quadratic
``(c - a) u^2 + 2 b u + (c + a) = 0``; u runs over [0, inf] while x runs over [0, pi], the longest range there is.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDING = 64.0 * sys.float_info.epsilon
"""Error of a margin in units of the size of the scores; some ten roundings go into one."""

LEAST, MOST = 1e-140, 1e140
"""Between them lie scores, and distances of weights, whose squares are numbers."""


@dataclass(frozen=True, eq=False)
class Sinusoids:
    """Scores `(N, K)` as sinusoids of the angle travelled: value at 0 is `cosine + offset`, slope at 0 is `sine`."""

    cosine: Tensor
    sine: Tensor
    offset: Tensor

    def rows(self, index: Tensor | slice) -> Sinusoids:
        """The sinusoids of some images."""
        return Sinusoids(self.cosine[index], self.sine[index], self.offset[index])

    def columns(self, index: Tensor) -> Sinusoids:
        """Those of some classes."""
        return Sinusoids(self.cosine[:, index], self.sine[:, index], self.offset[:, index])

    def turned(self, angle: Tensor) -> Sinusoids:
        """The same sinusoids measured from `angle` `(N,)`, so that the value there is `cosine + offset`."""
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        cosine = torch.addcmul(self.cosine * cos, self.sine, sin)
        return Sinusoids(cosine, torch.addcmul(self.sine * cos, self.cosine, sin, value=-1), self.offset)

    def values(self, angle: Tensor) -> Tensor:
        """Scores `(N, K)` at `angle` `(N,)`."""
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return torch.addcmul(self.offset, self.cosine, cos).addcmul_(self.sine, sin)

    def minus(self, label: Tensor) -> Sinusoids:
        """Margin sinusoids of class `label` over every class (its own is zero throughout).

        Args:
            label: `(N,)`, or `(N, K)` where each class is compared with one of its own.
        """
        pick = label[:, None] if label.dim() == 1 else label
        return Sinusoids(*(part.gather(1, pick) - part for part in (self.cosine, self.sine, self.offset)))

    def tolerance(self) -> Tensor:
        """Rounding error `(N,)` to expect of a margin."""
        sizes = [part.abs().amax(dim=1) for part in (self.cosine, self.sine, self.offset)]
        return ROUNDING * sum(sizes[1:], sizes[0])


def half_crossings(margin: Sinusoids) -> Tensor:
    """Tangent `(N, K)` of half the first angle in [0, pi] at which each margin turns negative; inf if it never does.

    Args:
        margin: margin sinusoids of the current winner, measured from the current position, where they are >= 0 up to
            rounding; what lies below zero is taken as zero, since the caller verifies the interval afterwards.
    """
    now = (margin.offset + margin.cosine).clamp_(min=0)
    fall, slope = margin.cosine - margin.offset, margin.sine  # fall > 0: negative at half a turn
    discriminant = torch.addcmul(slope.square(), fall, now)
    root = discriminant.clamp(min=0).sqrt_()
    # Each branch adds numbers of equal sign: no cancellation, hence no lost crossing.
    falling = torch.where(discriminant > 0, now / (root - slope), math.inf)
    rising = torch.where(fall > 0, root.add_(slope).div_(fall), math.inf)
    return torch.where(slope < 0, falling, rising)


def first_crossing(margin: Sinusoids) -> tuple[Tensor, Tensor]:
    """First angle in [0, pi] at which any margin turns negative, and the class that overtakes there.

    Args:
        margin: as in `half_crossings`.

    Returns:
        angle `(N,)`, inf where the winner is never overtaken, and class `(N,)`, the lowest index among equals.
    """
    half, overtaker = half_crossings(margin).min(dim=1)
    return torch.where(half.isinf(), math.inf, 2 * half.atan()), overtaker


def lows(margin: Sinusoids, length: Tensor) -> Tensor:
    """Smallest value `(N, K)` of each margin sinusoid over the angles from 0 to `length` <= pi, in closed form."""
    end_slope = torch.addcmul(margin.sine * length.cos()[:, None], margin.cosine, length.sin()[:, None], value=-1)
    # On at most half a turn a sinusoid has its minimum inside exactly when it starts falling and ends rising.
    inside = (margin.sine < 0).logical_and_(end_slope > 0)
    ends = margin.values(length)
    ends = torch.minimum(ends, torch.add(margin.cosine, margin.offset, out=end_slope), out=ends)
    size = torch.addcmul(torch.square(margin.cosine, out=end_slope), margin.sine, margin.sine, out=end_slope).sqrt_()
    return torch.where(inside, torch.sub(margin.offset, size, out=size), ends)


def first_change(sinusoids: Sinusoids, label: Tensor) -> tuple[Tensor, Tensor]:
    """Angle `(N,)` in [0, pi] at which `label` is first overtaken (pi if never), and whether it passed its check."""
    margin = sinusoids.minus(label)
    angle = first_crossing(margin)[0].clamp(max=math.pi)
    return angle, lows(margin, angle).amin(dim=1) >= -sinusoids.tolerance()
