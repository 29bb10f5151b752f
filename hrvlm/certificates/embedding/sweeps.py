"""The result of sweeps along upper envelopes, of images one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class EnvelopeSweep:
    """Result of a sweep: label `labels[i, f]` holds from `breaks[i, f]` to `breaks[i, f + 1]`.

    Attributes:
        breaks: `(N, F + 1)` angles travelled, non-decreasing, from 0 to the length; padded with the length.
        labels: `(N, F)` winners; padded with -1.
        smallest_margin: `(N,)` smallest margin of the winner over the next class at the midpoints; inf when K = 1.
        verified: `(N,)` True where every interval passed its closed-form check.
        told: `(N,)` False where an interval of some length has a winner that leads by no more than rounding midway.
    """

    breaks: Tensor
    labels: Tensor
    smallest_margin: Tensor
    verified: Tensor
    told: Tensor

    def spread(self, rows: Tensor, count: int) -> EnvelopeSweep:
        """The sweeps as rows of `count` ones, of which the others are empty and not verified."""
        return EnvelopeSweep(
            self.breaks.new_zeros(count, self.breaks.shape[1]).index_copy_(0, rows, self.breaks),
            self.labels.new_full((count, self.labels.shape[1]), -1).index_copy_(0, rows, self.labels),
            self.smallest_margin.new_zeros(count).index_copy_(0, rows, self.smallest_margin),
            self.verified.new_zeros(count).index_copy_(0, rows, self.verified),
            self.told.new_ones(count).index_copy_(0, rows, self.told),
        )

    def replaced(self, rows: Tensor, other: EnvelopeSweep) -> EnvelopeSweep:
        """The sweeps, with those of some images exchanged."""
        if not rows.numel():
            return self
        rest = torch.ones_like(self.verified).index_fill_(0, rows, False).nonzero().squeeze(1)
        both = joined([self.rows(rest), other])
        order = torch.cat([rest, rows]).argsort()
        return both.rows(order)

    def rows(self, index: Tensor) -> EnvelopeSweep:
        """The sweeps of some images."""
        return EnvelopeSweep(*(getattr(self, part.name)[index] for part in fields(self)))


def joined(sweeps: Sequence[EnvelopeSweep]) -> EnvelopeSweep:
    """Walks of successive images as one, padded to the longest."""
    width = max(part.labels.shape[1] for part in sweeps)
    missing = [width - part.labels.shape[1] for part in sweeps]
    breaks = [
        torch.cat([part.breaks, part.breaks[:, -1:].expand(-1, more)], dim=1)
        for part, more in zip(sweeps, missing, strict=True)
    ]
    labels = [
        torch.nn.functional.pad(part.labels, (0, more), value=-1) for part, more in zip(sweeps, missing, strict=True)
    ]
    rest = (torch.cat([getattr(part, name) for part in sweeps]) for name in ("smallest_margin", "verified", "told"))
    return EnvelopeSweep(torch.cat(breaks), torch.cat(labels), *rest)
