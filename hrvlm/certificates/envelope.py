"""Upper envelope of sinusoids: which class wins where, along one rotation of an embedding.

Along a rotation every affine score is a sinusoid of the angle x travelled since the image,
``s_k(x) = cosine_k cos x + sine_k sin x + offset_k``, and the classifier's label is the index of the highest one.
Instead of solving all O(K^2) pairs, the envelope is walked: from the current winner to its first crossing with any
class, and on from there, O(K F) for F label changes, for all images at once.

A crossing of ``a cos x + b sin x + c`` is found through ``u = tan(x/2)``, which turns it into the quadratic
``(c - a) u^2 + 2 b u + (c + a) = 0``; u runs over [0, inf] while x runs over [0, pi], the longest range there is.

Every interval is then verified in closed form: the minimum over it of the winner's margin over each class must not lie
below zero by more than rounding. An interval that fails is not certified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_ROUNDING = 64.0  # units of float64 eps times the size of the scores; some ten roundings go into one margin


@dataclass(frozen=True, eq=False)
class Waves:
    """Scores `(N, K)` as sinusoids of the angle travelled: value at 0 is `cosine + offset`, slope at 0 is `sine`."""

    cosine: Tensor
    sine: Tensor
    offset: Tensor

    def rows(self, index: Tensor) -> Waves:
        """The waves of some images."""
        return Waves(self.cosine[index], self.sine[index], self.offset[index])

    def turned(self, angle: Tensor) -> Waves:
        """The same waves measured from `angle` `(N,)`, so that the value there is `cosine + offset`."""
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return Waves(self.cosine * cos + self.sine * sin, self.sine * cos - self.cosine * sin, self.offset)

    def minus(self, label: Tensor) -> Waves:
        """Margin waves of class `label` `(N,)` over every class (its own is zero throughout)."""
        pick = label[:, None]
        return Waves(*(part.gather(1, pick) - part for part in (self.cosine, self.sine, self.offset)))

    def tolerance(self) -> Tensor:
        """Rounding error `(N,)` to expect of a margin."""
        size = (self.cosine.abs() + self.sine.abs() + self.offset.abs()).amax(dim=1)
        return _ROUNDING * torch.finfo(size.dtype).eps * size


@dataclass(frozen=True, eq=False)
class Walk:
    """Result of a walk: label `labels[i, f]` holds from `breaks[i, f]` to `breaks[i, f + 1]`.

    Attributes:
        breaks: `(N, F + 1)` angles travelled, non-decreasing, from 0 to the length; padded with the length.
        labels: `(N, F)` winners; padded with -1.
        smallest_margin: `(N,)` smallest lead of the winner over the next class at the midpoints; inf when K = 1.
        verified: `(N,)` True where every interval passed its closed-form check.
    """

    breaks: Tensor
    labels: Tensor
    smallest_margin: Tensor
    verified: Tensor


def first_crossing(margin: Waves) -> tuple[Tensor, Tensor]:
    """First angle in [0, pi] at which any margin turns negative, and the class that overtakes there.

    Args:
        margin: margin waves of the current winner, measured from the current position, where they are >= 0 up to
            rounding; what lies below zero is taken as zero, since the caller verifies the interval afterwards.

    Returns:
        angle `(N,)`, inf where the winner is never overtaken, and class `(N,)`, the lowest index among equals.
    """
    now = (margin.offset + margin.cosine).clamp(min=0)
    opposite = margin.offset - margin.cosine
    slope = margin.sine
    discriminant = slope.square() - opposite * now
    root = discriminant.clamp(min=0).sqrt()
    # Each branch adds numbers of equal sign: no cancellation, hence no lost crossing.
    falling = torch.where(discriminant > 0, now / (root - slope), math.inf)
    rising = torch.where(opposite < 0, (slope + root) / -opposite, math.inf)
    crossing, overtaker = torch.where(slope < 0, falling, rising).min(dim=1)
    return torch.where(crossing.isinf(), math.inf, 2 * crossing.atan()), overtaker


def _lowest(margin: Waves, length: Tensor) -> Tensor:
    """Smallest value `(N,)` of any margin wave over the angles from 0 to `length` <= pi, in closed form."""
    end = margin.turned(length)
    ends = torch.minimum(margin.cosine + margin.offset, end.cosine + end.offset)
    valley = margin.offset - torch.hypot(margin.cosine, margin.sine)
    # On at most half a turn a sinusoid has its minimum inside exactly when it starts falling and ends rising.
    inside = (margin.sine < 0) & (end.sine > 0)
    return torch.where(inside, valley, ends).amin(dim=1)


def _midpoint_lead(margin: Waves, length: Tensor, label: Tensor) -> Tensor:
    """Lead `(N,)` of `label` over the next class halfway along; inf for a point or a single class."""
    middle = margin.turned(length / 2)
    lead = (middle.cosine + middle.offset).scatter(1, label[:, None], math.inf).amin(dim=1)
    return torch.where(length > 0, lead, math.inf)


def walk(waves: Waves, label: Tensor, length: Tensor) -> Walk:
    """Walk the upper envelope from angle 0 to `length`.

    Args:
        waves: finite scores of N images and K classes.
        label: `(N,)` winner at angle 0.
        length: `(N,)` angles to travel, in [0, pi].

    Returns:
        The intervals; two sinusoids cross at most twice, so there are at most 2K - 1 of them, and a walk that is
        not finished by then (rounding at a many-fold tie) is returned as not verified.
    """
    count, num_classes = waves.cosine.shape
    tolerance = waves.tolerance()
    position, label = torch.zeros_like(length), label.clone()
    margin, verified = torch.full_like(length, math.inf), torch.ones_like(length, dtype=torch.bool)
    breaks, labels = [position.clone()], []
    active = torch.arange(count, device=length.device)
    for _ in range(2 * num_classes + 1):
        if not active.numel():
            break
        here, now = position[active], label[active]
        local = waves.rows(active).turned(here).minus(now)
        angle, overtaker = first_crossing(local)
        stop = torch.minimum(here + angle, length[active])
        verified[active] &= _lowest(local, stop - here) >= -tolerance[active]
        margin[active] = torch.minimum(margin[active], _midpoint_lead(local, stop - here, now))
        labels.append(torch.full_like(label, -1).index_copy_(0, active, now))
        breaks.append(length.clone().index_copy_(0, active, stop))
        position[active], label[active] = stop, overtaker
        active = active[here + angle < length[active]]
    verified[active] = False
    return Walk(torch.stack(breaks, dim=1), _stack(labels, count, length.device), margin, verified)


def first_change(waves: Waves, label: Tensor) -> tuple[Tensor, Tensor]:
    """Angle `(N,)` in [0, pi] at which `label` is first overtaken (pi if never), and whether it passed its check."""
    margin = waves.minus(label)
    angle = first_crossing(margin)[0].clamp(max=math.pi)
    return angle, _lowest(margin, angle) >= -waves.tolerance()


def _stack(columns: list[Tensor], count: int, device: torch.device) -> Tensor:
    """Columns side by side; `(count, 0)` when there are none."""
    return torch.stack(columns, dim=1) if columns else torch.empty(count, 0, dtype=torch.long, device=device)
