"""Loops along sinusoids of few images and many classes, in machine code: the scores of one fit the nearest cache.

What these functions call lies in this file, since machine code is kept until the file of its source changes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates._jit import compiled
from hrvlm.certificates.embedding.envelope import LEAST, MOST

Row = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

_LENGTH = 1e-8  # radians; classes that meet in one point leave shorter intervals, about which little is said
_NEAR = 1e-9  # of the size of scores: rounding is far below


@compiled
def walks(
    cosine: Row, sine: Row, offset: Row, label: Places, length: Row, rounding: float
) -> tuple[Row, Places, Places, Row, Mask, Mask]:
    """All sweeps: ends and winners of the intervals, one image's after another's, how many each has, and the rest."""
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
        now, here, smallest[i], verified[i] = np.searchsorted(rivals[:among], label[i]), 0.0, math.inf, False
        for _ in range(2 * among + 1):
            reach, overtaker, lowest = _step(space, among, now, here, length[i])
            sound = measurable and lowest >= -tolerance
            stop = min(reach, length[i]) if sound else length[i]
            if used == len(ends):
                ends, winners = np.concatenate((ends, ends)), np.concatenate((winners, winners))
            ends[used], winners[used] = stop, rivals[now]
            used, count[i] = used + 1, count[i] + 1
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
def failures(
    scores: tuple[Row, Row, Row],
    begins: Places,
    winner: Places,
    doubled: Mask,
    distances: Row,
    error: Row,
    length: Row,
    asked: tuple[Row, Mask, Row],
    rounding: Row,
) -> tuple[Row, Places, Places, Row]:
    """How far from N images onwards their winners' margins exceed what M thresholds ask of them, at L levels.

    Of a threshold t in units of u, that grows by g, a margin at x radians is asked for ``t u (1 + g sin x)`` and the
    error of its values. The classes of levels lie side by side.

    Args:
        scores: cosine, sine and offset `(N, K)`.
        begins: `(L + 1,)` where levels begin among the K classes.
        winner: `(L, N)` places of the winners at angle 0.
        doubled: `(L, N)` whether the winner's class is there twice, over which no margin is enough.
        distances: `(N, K)` of the winners' weights to all of their level, or `(1, K)`; that to its own does not count.
        error: `(N, K)` of margins, or `(1, K)`.
        length: `(L, N)` radians in [0, pi] that the winners hold; 0 where nothing is certified.
        asked: thresholds, NaN for none, whether they are in units of the distances, and growth, `(L, N, M)` each.
        rounding: `(L,)` error of scores in units of their size; margins that are nothing else are never enough.

    Returns:
        Radians `(L, N, M)` and the places `(L, N, M)` of the classes that end them, -1 for none; level, image and place
        of each of these once `(P, 3)`, with cosine, sine, offset and error of the margin, and distance `(P, 5)`.
    """
    thresholds, weighed, growth = asked
    extent, ended, margins = np.zeros(thresholds.shape), np.full(thresholds.shape, -1), np.empty((7, begins[-1]))
    pairs, numbers, used = np.empty((thresholds.size, 3), np.int64), np.empty((thresholds.size, 5)), 0
    for row in range(length.size):
        level, i = divmod(row, length.shape[1])
        if not length[level, i] > 0.0:
            continue
        far, near, first = -1.0, -1.0, used
        for m in range(thresholds.shape[2]):
            if thresholds[level, i, m] >= 0.0:
                most = thresholds[level, i, m] * (1.0 + max(growth[level, i, m], 0.0))
                far, near = (max(far, most), near) if weighed[level, i, m] else (far, max(near, most))
        part = slice(begins[level], begins[level + 1])
        among = _margins(
            (scores[0][i, part], scores[1][i, part], scores[2][i, part]), winner[level, i] - begins[level],
            distances[min(i, len(distances) - 1), part], error[min(i, len(error) - 1), part], doubled[level, i],
            length[level, i], rounding[level], (far, near), margins,
        )  # fmt: skip
        for m in range(thresholds.shape[2]):
            if not thresholds[level, i, m] >= 0.0:
                continue
            reach, at = _failure(margins, among, thresholds[level, i, m], weighed[level, i, m], growth[level, i, m])
            extent[level, i, m] = min(reach, length[level, i])
            if reach < length[level, i]:
                place = ended[level, i, m] = begins[level] + int(margins[6, at])
                if place not in pairs[first:used, 2]:
                    pairs[used, 0], pairs[used, 1], pairs[used, 2], numbers[used] = level, i, place, margins[:5, at]
                    used += 1
    return extent, ended, pairs[:used], numbers[:used]


@compiled
def _margins(
    scores: tuple[Row, Row, Row], winner: int, distances: Row, error: Row, doubled: bool, length: float,
    rounding: float, most: tuple[float, float], out: Row,
) -> int:  # fmt: skip
    """Write the margins that fall to what is asked somewhere: cosine, sine, offset, error, distance, low and place.

    At most so much is asked for in units of the distances, and so much by itself.
    """
    cosine, sine, offset = scores
    size, cos, sin, found = _size(cosine, sine, offset), math.cos(length), math.sin(length), 0
    for k in range(len(cosine)):
        a, b, c = cosine[winner] - cosine[k], sine[winner] - sine[k], offset[winner] - offset[k]
        tied = error[k] == 0.0 and abs(a) + abs(b) + abs(c) <= rounding * size
        slack, unit = 2.0 * rounding * size if tied else error[k], 0.0 if k == winner else distances[k]
        rival = k != winner and distances[k] < math.inf  # over anything else no margin is enough
        low = _low(a, b, c, cos, sin) - slack - _NEAR * size if rival else -math.inf
        if doubled if k == winner else not (low > most[0] * unit and low > most[1]):
            out[0, found], out[1, found], out[2, found], out[3, found] = a, b, c, slack
            out[4, found], out[5, found], out[6, found] = unit, low, k
            found += 1
    return found


@compiled
def _failure(margins: Row, among: int, threshold: float, weighed: bool, growth: float) -> tuple[float, int]:
    """Where the first of the margins is no more than asked (inf for never), and which."""
    least, worst, half, first = math.inf, -1, math.inf, -1
    for k in range(among):
        unit = margins[4, k] if weighed else 1.0
        lead = margins[0, k] + margins[2, k] - margins[3, k] - threshold * unit
        lead = lead if margins[5, k] > -math.inf else -math.inf
        if lead < least:
            least, worst = lead, k
    if least <= 0.0:
        return 0.0, worst
    for k in range(among):
        most = threshold * (margins[4, k] if weighed else 1.0)
        if not margins[5, k] > most * (1.0 + max(growth, 0.0)):
            c = margins[2, k] - margins[3, k] - most
            crossing = _half_crossing(margins[0, k], margins[1, k] - growth * most, c)
            if crossing < half:
                half, first = crossing, k
    return 2.0 * math.atan(half) if half < math.inf else math.inf, first


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
def _rivals(cosine: Row, sine: Row, offset: Row, label: int, length: float, tolerance: float, out: Places) -> int:
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

    The first classes of `space` take part: cosine, sine and offset, and room for their sinusoids measured from `here`,
    the angle so far. The winner's place among them is `now`, and the sweep ends at `length`.
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
