"""Nearly equal classes: margins from the differences of their weights, and what rounding leaves open even then.

A score carries the rounding of its size, so the difference of two scores says nothing of classes whose weights differ
by less. The difference of two floating-point numbers, though, is rounded relative to itself: a margin that is computed
from the difference of two weights keeps its digits however close they are. Where a winner has a close rival, or leads
by no more than rounding, certificates use such margins, and claim nothing that their error bound does not decide.
"""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import LEAST, MOST, Sinusoids, first_change, first_crossing, lows
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.embedding.sweeps import EnvelopeSweep, joined

_EPS = sys.float_info.epsilon
_PROVEN = 1e-8  # radians from the ends of an interval, where its winner meets the next one, beyond which it is proven


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
    count, classes = len(winner), len(scorer.first)
    start, along1, along2, size = (scorer.distinct.new_zeros(count, classes) for _ in range(4))
    e1, e2, angle = rotation.plane
    norm = rotation.features.norm(dim=1)
    measured = torch.ones_like(start, dtype=torch.bool)
    distances, bias = torch.zeros_like(start), scorer.bias[..., scorer.first].expand(count, classes)
    for place in winner.unique().tolist():
        rows = (winner == place).nonzero().squeeze(1)
        gap = scorer.distinct[place] - scorer.distinct
        shift = bias[rows, place, None] - bias[rows]
        start[rows] = rotation.features[rows] @ gap.T + shift
        along1[rows], along2[rows] = ((axis if axis.dim() == 1 else axis[rows]) @ gap.T for axis in (e1, e2))
        distances[rows] = gap.norm(dim=1)
        size[rows] = distances[rows] * norm[rows, None] + shift.abs()
        measured[rows] = ~gap.any(dim=1) | ((distances[rows] > LEAST) & (distances[rows] < MOST))
    first, second = ((rotation.features * axis).sum(dim=1) * ~rotation.flat for axis in (e1, e2))
    cosine = first[:, None] * along1 + second[:, None] * along2
    sine = direction[:, None] * (first[:, None] * along2 - second[:, None] * along1)
    # Of sums of D products, in a plane that prompts at a small angle determine the less exactly.
    share = (8 * scorer.distinct.shape[1] + 64) * _EPS / angle.sin().abs().clamp(min=_EPS)
    error = torch.where(measured, size * share.expand(count)[:, None], sys.float_info.max)
    return Sinusoids(cosine, sine, start - cosine), error, distances


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


def sweep_closely(
    scorer: AffineScorer, rotation: Rotation, direction: Tensor, length: Tensor, winner: Tensor
) -> EnvelopeSweep:
    """As `envelope_sweep.sweep_envelope`, image by image, with margins from differences of weights at every step.

    An interval is verified where its winner leads every other class by more than the error of the margin, but for the
    last `_PROVEN` radians at its ends.

    Args:
        scorer: scorer of these images.
        rotation: their coordinates.
        direction: `(N,)` as in `close_margins`.
        length: `(N,)` angles to travel, in [0, pi].
        winner: `(N,)` positions in `scorer.first` of the winners at the images.
    """
    each = (torch.tensor([row], dtype=torch.long, device=length.device) for row in range(len(length)))
    return joined(
        [_swept(scorer.rows(i), rotation.rows(i), direction[i], float(length[i]), int(winner[i])) for i in each]
    )


def _swept(scorer: AffineScorer, rotation: Rotation, direction: Tensor, length: float, now: int) -> EnvelopeSweep:
    """The sweep of one image."""
    here, ends, labels, smallest, proven = 0.0, [0.0], [], math.inf, False
    margin = _PROVEN if length > 4 * _PROVEN else 0.0
    for _ in range(2 * len(scorer.first) + 1):
        now, ahead, error = _leader(scorer, rotation, direction, here, now)
        angle, overtaker = first_crossing(ahead)
        stop = min(here + float(angle), length)
        proven = _exceed(ahead, error, stop - here, margin)
        ends.append(stop if proven else length)
        labels.append(now)
        if stop > here and len(scorer.first) > 1:
            left = ahead.values(error.new_tensor([(stop - here) / 2])) - error
            left[0, now] = math.inf
            smallest = min(smallest, max(0.0, float(left.min())))
        if not proven or stop >= length:
            break
        here, now = stop, int(overtaker)
    return EnvelopeSweep(
        breaks=direction.new_tensor([ends]),
        labels=torch.tensor([labels], dtype=torch.long, device=direction.device),
        smallest_margin=direction.new_tensor([smallest]),
        verified=torch.tensor([proven and ends[-1] >= length], dtype=torch.bool, device=direction.device),
        told=torch.tensor([True], dtype=torch.bool, device=direction.device),
    )


def _leader(
    scorer: AffineScorer, rotation: Rotation, direction: Tensor, here: float, now: int
) -> tuple[int, Sinusoids, Tensor]:
    """The winner of one image at an angle, where `now` wins up to rounding; its margins from there, and their errors.

    Close classes overtake a third one so nearly together that the first of them is found here.
    """
    for _ in range(len(scorer.first)):
        place = torch.tensor([now], dtype=torch.long, device=direction.device)
        margin, error, _ = close_margins(scorer, rotation, direction, place)
        ahead = margin.turned(direction.new_tensor([here]))
        lost = ahead.cosine + ahead.offset + error
        if not bool((lost < 0).any()):
            break
        now = int((ahead.cosine + ahead.offset).argmin())
    return now, ahead, error


def _exceed(ahead: Sinusoids, error: Tensor, way: float, margin: float) -> bool:
    """Whether margins exceed their errors over a way, but for so much at its ends."""
    if way <= 2 * margin:
        return bool((ahead.cosine + ahead.sine + ahead.offset + error).isfinite().all())
    within = ahead.turned(error.new_tensor([margin]))
    return bool((lows(within, error.new_tensor([way - 2 * margin])) >= error).all())
