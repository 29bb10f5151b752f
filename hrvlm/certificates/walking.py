"""A walk along the upper envelope of sinusoids: from winner to winner, for all images at once.

A class that the first winner beats over the whole range can win nowhere in it. One pass over all K classes computes
the first winner's smallest margin over each, which leaves the few rivals that overtake it somewhere, and the walk goes
on among these alone: O(K + C F) for C rivals and F label changes, instead of the O(K^2) pairs.

Every interval is verified in closed form: the minimum over it of the winner's margin over each class must not lie below
zero by more than rounding; for classes that are no rivals this follows from the first winner's margin over them. An
interval that fails is not certified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.certificates.envelope import Waves, first_crossing, lows


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
    margin, tolerance = waves.minus(label), waves.tolerance()
    verified = torch.ones_like(label, dtype=torch.bool)
    breaks, labels = torch.stack([torch.zeros_like(length), length], dim=1), label[:, None]
    rivals = (lows(margin, length) <= tolerance[:, None]).scatter_(1, label[:, None], False)
    busy = rivals.any(dim=1).nonzero().squeeze(1)
    if busy.numel():
        columns = _columns(rivals[busy], label[busy])
        found = _among(waves.rows(busy).columns(columns), columns, label[busy], length[busy], tolerance[busy])
        verified[busy] = found.verified
        width = found.labels.shape[1]
        labels = torch.nn.functional.pad(labels, (0, width - 1), value=-1).index_copy_(0, busy, found.labels)
        breaks = torch.cat([breaks, length[:, None].expand(-1, width - 1)], dim=1).index_copy_(0, busy, found.breaks)
    return Walk(breaks, labels, _smallest_lead(waves, margin, breaks, labels), verified)


def _columns(rivals: Tensor, label: Tensor) -> Tensor:
    """Classes `(n, C)` that take part, increasing: the rivals `(n, K)` and the first winner, which also pads."""
    row, column = rivals.nonzero(as_tuple=True)
    count = rivals.sum(dim=1)
    position = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    columns = label[:, None].repeat(1, int(count.max()) + 1)
    columns[row, position] = column
    return columns.sort(dim=1).values


def _among(waves: Waves, columns: Tensor, label: Tensor, length: Tensor, tolerance: Tensor) -> Walk:
    """The walk among the classes `columns` `(n, C)`, whose waves are given, from the class `label` `(n,)` on.

    Each interval is checked against all of these classes; leads are left to the caller.
    """
    count, num_classes = columns.shape
    now = (columns == label[:, None]).int().argmax(dim=1)
    position, verified = torch.zeros_like(length), torch.ones_like(length, dtype=torch.bool)
    breaks, labels = [position.clone()], []
    active = torch.arange(count, device=length.device)
    for _ in range(2 * num_classes + 1):
        if not active.numel():
            break
        here = position[active]
        local = waves.rows(active).turned(here).minus(now[active])
        angle, overtaker = first_crossing(local)
        stop = torch.minimum(here + angle, length[active])
        verified[active] &= lows(local, stop - here).amin(dim=1) >= -tolerance[active]
        winner = columns[active, now[active]]
        labels.append(torch.full_like(label, -1).index_copy_(0, active, winner))
        breaks.append(length.clone().index_copy_(0, active, stop))
        position[active], now[active] = stop, overtaker
        active = active[here + angle < length[active]]
    verified[active] = False
    return Walk(torch.stack(breaks, dim=1), torch.stack(labels, dim=1), length, verified)


def _smallest_lead(waves: Waves, margin: Waves, breaks: Tensor, labels: Tensor) -> Tensor:
    """Smallest lead `(N,)` of the winner over the next class halfway through each interval; inf for points or K = 1.

    Args:
        waves: scores `(N, K)`.
        margin: margin waves of the first winner.
        breaks: `(N, F + 1)`.
        labels: `(N, F)`.
    """
    middle = (breaks[:, 1:] + breaks[:, :-1]) / 2
    real = (labels >= 0) & (breaks.diff(dim=1) > 0)
    first = margin.values(middle[:, 0]).scatter_(1, labels[:, :1], math.inf).amin(dim=1)
    smallest = torch.where(real[:, 0], first, math.inf)
    for f in range(1, labels.shape[1]):
        rows = real[:, f].nonzero().squeeze(1)
        values, label = waves.rows(rows).values(middle[rows, f]), labels[rows, f][:, None]
        lead = values.gather(1, label) - values.scatter_(1, label, -math.inf).amax(dim=1, keepdim=True)
        smallest[rows] = torch.minimum(smallest[rows], lead.squeeze(1))
    return smallest
