"""A sweep along the upper envelope of nearly equal classes: every step with margins from differences of weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.close_classes import WeightDifferences
from hrvlm.certificates.embedding.envelope import Sinusoids, first_crossing, lows
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.embedding.sweeps import EnvelopeSweep, joined

_PROVEN = 1e-8  # radians from the ends of an interval, where its winner meets the next one, beyond which it is proven


def sweep_closely(
    scorer: AffineScorer, rotation: Rotation, direction: Tensor, length: Tensor, winner: Tensor
) -> EnvelopeSweep:
    """As `envelope_sweep.sweep_envelope`, with margins from differences of weights at every step.

    An interval is verified where its winner leads every other class by more than the error of the margin, but for the
    last `_PROVEN` radians at its ends. All images take a step together, for as long as they go on.

    Args:
        scorer: scorer of these images.
        rotation: their coordinates.
        direction: `(N,)` as in `close_margins`.
        length: `(N,)` angles to travel, in [0, pi].
        winner: `(N,)` positions in `scorer.first` of the winners at the images.
    """
    differences = WeightDifferences.of(scorer, rotation)
    walks = [_Walk(way, now) for way, now in zip(length.tolist(), winner.tolist(), strict=True)]
    going = list(range(len(walks)))
    for _ in range(2 * len(scorer.first) + 1):
        if not going:
            break
        rows = torch.tensor(going, dtype=torch.long, device=length.device)
        _step([walks[i] for i in going], differences.rows(rows), direction[rows])
        going = [i for i in going if walks[i].goes_on]
    return joined([walk.swept(direction) for walk in walks])


@dataclass(eq=False)
class _Walk:
    """How far the sweep of one image has come: angle, winner there, and the intervals behind it."""

    length: float
    now: int
    here: float = 0.0
    ends: list[float] = field(default_factory=lambda: [0.0])
    labels: list[int] = field(default_factory=list)
    smallest: float = math.inf
    proven: bool = False
    goes_on: bool = True

    @property
    def margin(self) -> float:
        """Radians at either end of an interval that need no proof."""
        return _PROVEN if self.length > 4 * _PROVEN else 0.0

    def take(self, stop: float, proven: bool, lead: float, overtaker: int) -> None:
        """End an interval at `stop`, midway of which the winner leads by at least `lead`."""
        self.proven = proven
        self.ends.append(stop if proven else self.length)
        self.labels.append(self.now)
        if stop > self.here:
            self.smallest = min(self.smallest, max(0.0, lead))
        self.goes_on = proven and not stop >= self.length
        if self.goes_on:
            self.here, self.now = stop, overtaker

    def swept(self, like: Tensor) -> EnvelopeSweep:
        """The intervals of this image, numbers as those of `like`."""
        done = self.proven and self.ends[-1] >= self.length
        return EnvelopeSweep(
            breaks=like.new_tensor([self.ends]),
            labels=torch.tensor([self.labels], dtype=torch.long, device=like.device),
            smallest_margin=like.new_tensor([self.smallest]),
            verified=torch.tensor([done], dtype=torch.bool, device=like.device),
            told=torch.tensor([True], dtype=torch.bool, device=like.device),
        )


def _step(walks: list[_Walk], differences: WeightDifferences, direction: Tensor) -> None:
    """One interval of every image."""
    ahead, error = _ahead(walks, differences, direction)
    angles, overtakers = (found.tolist() for found in first_crossing(ahead))
    stops = [min(walk.here + angle, walk.length) for walk, angle in zip(walks, angles, strict=True)]
    ways = [stop - walk.here for stop, walk in zip(stops, walks, strict=True)]
    proven = _exceed(ahead, error, ways, [walk.margin for walk in walks])
    leads = ahead.values(error.new_tensor([way / 2 for way in ways])).sub_(error)
    leads[range(len(walks)), [walk.now for walk in walks]] = math.inf
    for walk, *found in zip(walks, stops, proven, leads.amin(dim=1).tolist(), overtakers, strict=True):
        walk.take(*found)


def _ahead(walks: list[_Walk], differences: WeightDifferences, direction: Tensor) -> tuple[Sinusoids, Tensor]:
    """Margins `(n, U)` of each image's winner from where it is, and their errors; finds the winner.

    A walk's winner wins up to rounding. Close classes overtake a third one so nearly together that the first of them is
    found here.
    """
    here, classes = direction.new_tensor([walk.here for walk in walks]), len(differences.weight)
    tried, seeking = [[walk.now] for walk in walks], torch.ones_like(direction, dtype=torch.bool)
    ahead, error = _margins([walk.now for walk in walks], differences, direction, here)
    for _ in range(classes - 1):
        value = ahead.cosine + ahead.offset
        lost = ((value + error < 0).any(dim=1) & seeking).nonzero().squeeze(1)
        if not lost.numel():
            break
        for i in lost.tolist():
            walks[i].now, seeking[i] = _next(tried[i], int(value[i].argmin()), classes)
        now = [walks[i].now for i in lost.tolist()]
        again, its_error = _margins(now, differences.rows(lost), direction[lost], here[lost])
        error[lost] = its_error
        for part, new in ((ahead.cosine, again.cosine), (ahead.sine, again.sine), (ahead.offset, again.offset)):
            part[lost] = new
    return ahead, error


def _next(tried: list[int], best: int, classes: int) -> tuple[int, bool]:
    """The class to try after those `tried`, and whether others are to follow.

    Rounding may lead round in a circle of classes; the one that is reached after as many tries as there are `classes`
    is known without them.
    """
    if best not in tried:
        tried.append(best)
        return best, True
    start = tried.index(best)
    circle = tried[start:]
    return circle[(classes - 1 - start) % len(circle)], False


def _margins(
    now: list[int], differences: WeightDifferences, direction: Tensor, here: Tensor
) -> tuple[Sinusoids, Tensor]:
    """Margins of the winners `now` as seen from the angles `here` `(n,)`, and their errors."""
    margin, error, _ = differences.margins(direction, differences.each_over_all(now))
    return margin.turned(here), error


def _exceed(ahead: Sinusoids, error: Tensor, ways: list[float], margins: list[float]) -> list[bool]:
    """Whether margins exceed their errors over each way, but for so much at its ends."""
    within = ahead.turned(error.new_tensor(margins))
    inner = error.new_tensor([way - 2 * margin for way, margin in zip(ways, margins, strict=True)])
    exceeds = (lows(within, inner) >= error).all(dim=1).tolist()
    finite = (ahead.cosine + ahead.sine + ahead.offset + error).isfinite().all(dim=1).tolist()
    return [
        fine if way <= 2 * margin else proof
        for way, margin, proof, fine in zip(ways, margins, exceeds, finite, strict=True)
    ]
