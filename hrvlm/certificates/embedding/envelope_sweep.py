"""A sweep along the upper envelope of sinusoids: from winner to winner.

A class that the first winner beats over the whole range can win nowhere in it. One pass over all K classes computes
the first winner's smallest margin over each, which leaves the few rivals that overtake it somewhere, and the sweep goes
on among these alone: O(K + C F) for C rivals and F label changes, instead of the O(K^2) pairs.

Every interval is verified in closed form: the minimum over it of the winner's margin over each class must not lie below
zero by more than rounding; for classes that are no rivals this follows from the first winner's margin over them. An
interval that fails is not certified.

Each image takes its own number of steps at its own angles, so the sweep is a compiled loop on the CPU, image by image:
the scores of one fit the processor's nearest cache.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates._jit import compiled
from hrvlm.certificates.embedding.envelope import LEAST, MOST, ROUNDING, Sinusoids
from hrvlm.certificates.embedding.sweeps import EnvelopeSweep

Row = NDArray[np.float64]

_LENGTH = 1e-8  # radians; classes that meet in one point leave shorter intervals, about which little is said


def sweep_envelope(sinusoids: Sinusoids, label: Tensor, length: Tensor) -> EnvelopeSweep:
    """EnvelopeSweep the upper envelope from angle 0 to `length`.

    Args:
        sinusoids: scores of N images and K classes; where one is not finite, or all are so small or large that their
            squares are not numbers, nothing is verified.
        label: `(N,)` winner at angle 0.
        length: `(N,)` angles to travel, in [0, pi].

    Returns:
        The intervals; two sinusoids cross at most twice, so there are at most 2K - 1 of them, and a sweep that is
        not finished by then (rounding at a many-fold tie) is returned as not verified.
    """
    shape = sinusoids.cosine.shape
    if not (sinusoids.sine.shape == sinusoids.offset.shape == shape and label.shape == length.shape == shape[:1]):
        raise ValueError(f"expected sinusoids (N, K), labels and lengths (N,), got sinusoids {tuple(shape)}")
    if label.numel() and not 0 <= int(label.min()) <= int(label.max()) < shape[1]:
        raise ValueError(f"expected labels in [0, {shape[1]}), got {int(label.min())} to {int(label.max())}")
    cosine, sine, offset, way = (
        part.detach().double().contiguous().cpu().numpy()
        for part in (sinusoids.cosine, sinusoids.sine, sinusoids.offset, length)
    )
    found = _walks(cosine, sine, offset, label.cpu().numpy(), way, ROUNDING)
    ends, winners, count, smallest, verified, told = found
    device, width = length.device, int(count.max(initial=1))
    real = torch.from_numpy(np.arange(width) < count[:, None]).to(device)
    labels = label.new_full(real.shape, -1).masked_scatter_(real, torch.from_numpy(winners).to(device))
    breaks = length[:, None].repeat(1, width + 1)
    breaks[:, 1:].masked_scatter_(real, torch.from_numpy(ends).to(breaks))
    breaks[:, 0] = 0.0
    return EnvelopeSweep(breaks, labels, *(torch.from_numpy(part).to(device) for part in (smallest, verified, told)))


@compiled
def _walks(
    cosine: Row, sine: Row, offset: Row, label: NDArray[np.int64], length: Row, rounding: float
) -> tuple[Row, NDArray[np.int64], NDArray[np.int64], Row, NDArray[np.bool_], NDArray[np.bool_]]:
    """All sweeps: ends and winners of the intervals, one image's after another's, how many each has, and the rest.

    What these functions call lies in this file, since machine code is kept until the file of its source changes.
    """
    num, classes = cosine.shape
    count, smallest, verified = np.zeros(num, dtype=np.int64), np.empty(num), np.ones(num, dtype=np.bool_)
    told = np.ones(num, dtype=np.bool_)
    ends, winners, used = np.empty(2 * num + 2), np.empty(2 * num + 2, dtype=np.int64), 0
    rivals, space = np.empty(classes, dtype=np.int64), np.empty((5, classes))
    for i in range(num):
        size = _size(cosine[i], sine[i], offset[i])
        measurable = size == 0.0 or LEAST < size < MOST
        tolerance = rounding * size
        among = _rivals(cosine[i], sine[i], offset[i], label[i], length[i], tolerance, rivals)
        for place in range(among):
            k = rivals[place]
            space[0, place], space[1, place], space[2, place] = cosine[i, k], sine[i, k], offset[i, k]
        now, here, smallest[i] = np.searchsorted(rivals[:among], label[i]), 0.0, math.inf
        verified[i] = False
        for _ in range(2 * among + 1):
            reach, overtaker, lowest = _step(space, among, now, here, length[i])
            sound = measurable and lowest >= -tolerance
            stop = min(reach, length[i]) if sound else length[i]
            if used == len(ends):
                ends, winners = np.concatenate((ends, ends)), np.concatenate((winners, winners))
            ends[used], winners[used] = stop, rivals[now]
            used += 1
            count[i] += 1
            if stop > here:
                middle = (here + stop) / 2
                margin = _margin(cosine[i], sine[i], offset[i], rivals[now], middle)
                smallest[i] = min(smallest[i], margin)
                told[i] &= margin > tolerance or stop - here <= _LENGTH
            if not sound:
                break
            if reach >= length[i]:
                verified[i] = smallest[i] >= -tolerance
                break
            here, now = stop, overtaker
    return ends[:used], winners[:used], count, smallest, verified, told


@compiled
def _size(cosine: Row, sine: Row, offset: Row) -> float:
    """Size of the scores, to which rounding errors are relative; not a number where one of them is none."""
    largest, finite = np.zeros(3), 0.0
    for k in range(len(cosine)):
        largest[0] = max(largest[0], abs(cosine[k]))
        largest[1] = max(largest[1], abs(sine[k]))
        largest[2] = max(largest[2], abs(offset[k]))
        finite += 0.0 * (cosine[k] + sine[k] + offset[k])  # a maximum loses what is not a number
    return largest.sum() + finite


@compiled
def _rivals(
    cosine: Row, sine: Row, offset: Row, label: int, length: float, tolerance: float, out: NDArray[np.int64]
) -> int:
    """Write the classes that overtake the first winner somewhere, and that winner, increasing; how many."""
    cos, sin, found = math.cos(length), math.sin(length), 0
    a, b, c = cosine[label], sine[label], offset[label]
    for k in range(len(cosine)):
        if k == label or _low(a - cosine[k], b - sine[k], c - offset[k], cos, sin) <= tolerance:
            out[found] = k
            found += 1
    return found


@compiled
def _step(space: Row, classes: int, now: int, here: float, length: float) -> tuple[float, int, float]:
    """Where the winner is overtaken (inf if never), by whom, and its smallest margin until there.

    Args:
        space: cosine, sine and offset of the classes that take part, and room for their sinusoids measured from `here`.
        classes: how many take part.
        now: the winner's place among them.
        here: the angle so far.
        length: where the sweep ends.
    """
    cos, sin = math.cos(here), math.sin(here)
    for k in range(classes):
        space[3, k] = space[0, k] * cos + space[1, k] * sin
        space[4, k] = space[1, k] * cos - space[0, k] * sin
    a, b, c = space[3, now], space[4, now], space[2, now]
    half, overtaker = math.inf, now
    for k in range(classes):
        crossing = _half_crossing(a - space[3, k], b - space[4, k], c - space[2, k])
        if crossing < half:
            half, overtaker = crossing, k
    reach = here + 2.0 * math.atan(half) if half < math.inf else math.inf
    way = min(reach, length) - here
    cos, sin, lowest = math.cos(way), math.sin(way), math.inf
    for k in range(classes):
        lowest = min(lowest, _low(a - space[3, k], b - space[4, k], c - space[2, k], cos, sin))
    return reach, overtaker, lowest


@compiled
def _margin(cosine: Row, sine: Row, offset: Row, label: int, angle: float) -> float:
    """Lead of a class over the best other one at an angle; inf for a single class."""
    cos, sin, best = math.cos(angle), math.sin(angle), -math.inf
    for k in range(len(cosine)):
        value = cosine[k] * cos + sine[k] * sin + offset[k]
        if k != label:
            best = max(best, value)
    return float(cosine[label] * cos + sine[label] * sin + offset[label] - best)


@compiled
def _half_crossing(cosine: float, sine: float, offset: float) -> float:
    """One of `envelope.half_crossings`."""
    now, fall = max(offset + cosine, 0.0), cosine - offset
    discriminant = sine * sine + fall * now
    root = math.sqrt(max(discriminant, 0.0))
    if sine < 0.0:
        return now / (root - sine) if discriminant > 0.0 else math.inf
    return (root + sine) / fall if fall > 0.0 else math.inf


@compiled
def _low(cosine: float, sine: float, offset: float, end_cos: float, end_sin: float) -> float:
    """One of `envelope.lows`, for the cosine and sine of the length."""
    if sine < 0.0 and sine * end_cos - cosine * end_sin > 0.0:
        return offset - math.sqrt(cosine * cosine + sine * sine)
    return min(offset + cosine, offset + cosine * end_cos + sine * end_sin)
