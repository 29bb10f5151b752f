"""Derives every semantic claim again from the scores, coordinates and distances of its row, without the model.

In plain arithmetic, apart from the code that made the claims. Rows from before scores were kept must be consistent in
themselves: intervals cover the range one after the other, and shares follow from them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from hrvlm.certificates.row_checks import TOLERANCE, Finding
from hrvlm.certificates.semantic_records import SemanticRecord

_ROUNDING = 1e-12  # share of the scores' size by which two of them may differ where they cross
_ARC_TOLERANCE = 1e-6  # of shares bounded by arcs: where two waves nearly touch, an end moves by the root of rounding


class _Sinusoid(NamedTuple):
    """`a cos t + b sin t + c`."""

    a: float
    b: float
    c: float

    def minus(self, other: _Sinusoid) -> _Sinusoid:
        return _Sinusoid(self.a - other.a, self.b - other.b, self.c - other.c)

    def value(self, t: float) -> float:
        return self.a * math.cos(t) + self.b * math.sin(t) + self.c

    def size(self) -> float:
        return math.hypot(self.a, self.b) + abs(self.c)

    def lowest(self, start: float, stop: float) -> float:
        """Smallest value from start to stop, both in [0, pi]."""
        bottom = math.remainder(math.atan2(self.b, self.a) + math.pi, 2 * math.pi)
        inside = [self.c - math.hypot(self.a, self.b)] if start < bottom < stop else []
        return min(self.value(start), self.value(stop), *inside)

    def at_most(self, bound: float, start: float, stop: float) -> Iterator[tuple[float, float]]:
        """Arcs of [start, stop], both in [0, pi], where the value is at most a bound."""
        need, amplitude = bound - self.c, math.hypot(self.a, self.b)
        if need >= amplitude:
            yield start, stop
        elif need >= -amplitude:
            half, peak = math.acos(max(-1.0, min(1.0, need / amplitude))), math.atan2(self.b, self.a)
            for turn in (0.0, -2 * math.pi):
                low, high = max(start, peak + half + turn), min(stop, peak - half + turn + 2 * math.pi)
                if low < high:
                    yield low, high


def semantic_findings(record: SemanticRecord) -> Iterator[Finding]:
    """What of a semantic record does not follow from what it holds."""
    numbers = (record.start, record.stop, record.invariance, *(x for piece in record.intervals for x in piece))
    held = [
        x for part in (record.waves, record.distances, record.stable, [record.plane or ()]) for y in part for x in y
    ]
    if not all(math.isfinite(number) for number in (*numbers, *held)):
        yield "intervals", True, "holds a number that is not finite"
        return
    yield from _coverage(record)
    if not record.intervals:
        yield from _differs("invariance", record.invariance, 0.0)
        if record.reason is None:
            yield "reason", False, "nothing is certified and no reason given"
        return
    yield from _joined(record)
    if record.waves or record.plane is not None:
        yield from _derived(record)


def _differs(name: str, stated: float, derived: float, tolerance: float = TOLERANCE) -> Iterator[Finding]:
    if not math.isclose(stated, derived, rel_tol=tolerance, abs_tol=tolerance):
        word = "more" if stated > derived else "less"
        yield name, stated > derived, f"states {name} {stated!r}, {word} than the derived {derived!r}"


def _coverage(record: SemanticRecord) -> Iterator[Finding]:
    """Shares lie in [0, 1], fall as delta grows, and are 0 where nothing is certified."""
    pairs = sorted(record.stable)
    for previous, following in itertools.pairwise(pairs):
        if following[1] > previous[1] + TOLERANCE:
            yield "stable", True, f"stable coverage grows with delta from {previous} to {following}"
    if any(delta < 0 or not 0 <= share <= 1 for delta, share in pairs):
        yield "stable", True, f"stable coverage outside [0, 1]: {record.stable}"
    if not record.intervals and any(share > 0 for _, share in pairs):
        yield "stable", True, f"nothing is certified, yet stable coverage is stated: {record.stable}"


def _joined(record: SemanticRecord) -> Iterator[Finding]:
    """The intervals cover the range one after the other, and the invariant share follows."""
    ends = [record.start, *(piece[1] for piece in record.intervals)]
    begins = [*(piece[0] for piece in record.intervals), record.stop]
    for end, begin in zip(ends, begins, strict=True):
        if end != begin:
            overlap = (end - begin) * (record.stop - record.start) > 0
            yield "intervals", overlap, f"the intervals do not join: {end!r} is followed by {begin!r}"
    whole = record.stop - record.start
    steps = [(b - a) * math.copysign(1.0, whole) for a, b, _ in record.intervals]
    if min(steps) < 0 or abs(whole) > math.pi * (1 + TOLERANCE):
        yield "intervals", True, f"the intervals do not run from {record.start!r} to {record.stop!r}"
    if any(label < 0 for _, _, label in record.intervals):
        yield "intervals", False, "an interval has no label"
    same = sum(step for step, (_, _, label) in zip(steps, record.intervals, strict=True) if label == record.prediction)
    yield from _differs("invariance", record.invariance, same / abs(whole) if whole else 1.0)


def _derived(record: SemanticRecord) -> Iterator[Finding]:
    """Range, winners, smallest margin and stable coverage follow from the scores that the row holds."""
    waves = {label: _Sinusoid(*numbers) for label, *numbers in record.waves}
    winners = {record.prediction, *(label for _, _, label in record.intervals)}
    if record.plane is None or len(waves) < len(record.waves) or not winners <= waves.keys():
        yield "waves", True, f"the scores of classes {sorted(waves)} cannot show where {sorted(winners)} win"
        return
    yield from _range(record, *record.plane)
    pieces = [(abs(a - record.start), abs(b - record.start), label) for a, b, label in record.intervals]
    yield from _won(waves, [(0.0, 0.0, record.prediction)], "prediction")
    yield from _won(waves, pieces, "intervals")
    for (_, end, label), (_, _, following) in itertools.pairwise(pieces):
        if label == following:
            yield "intervals", False, f"the intervals on both sides of {end!r} have one class, {label}"
    yield from _margin(record, waves, pieces)
    yield from _stable(record, waves, pieces)


def _range(record: SemanticRecord, x: float, y: float, angle: float) -> Iterator[Finding]:
    """The range starts at the image's angle and ends, the shorter way round, at the target's."""
    start = math.atan2(y, x)
    if abs(math.remainder(record.start - start, 2 * math.pi)) > TOLERANCE:
        yield "start", True, f"starts at {record.start!r}, where the image lies at {start!r}"
    if abs(math.remainder(record.stop - angle, 2 * math.pi)) > TOLERANCE:
        yield "stop", True, f"stops at {record.stop!r}, where the target lies at {angle!r}"


def _won(waves: dict[int, _Sinusoid], pieces: list[tuple[float, float, int]], name: str) -> Iterator[Finding]:
    """No class wins where another one is stated to."""
    for start, stop, label in pieces:
        for other, wave in waves.items():
            margin, sizes = waves[label].minus(wave), waves[label].size() + wave.size()
            low = margin.lowest(start, stop)
            if low < -(TOLERANCE * margin.size() + _ROUNDING * sizes):
                text = f"from {start!r} to {stop!r} past the image, class {label} loses to {other} by up to {-low!r}"
                yield name, True, text


def _margin(
    record: SemanticRecord, waves: dict[int, _Sinusoid], pieces: list[tuple[float, float, int]]
) -> Iterator[Finding]:
    leads = [
        waves[label].minus(wave).value((start + stop) / 2)
        for start, stop, label in pieces
        for other, wave in waves.items()
        if other != label and start != stop
    ]
    stated, derived = record.smallest_margin, min(leads, default=None)
    if stated is None or derived is None:
        if stated is not derived:
            yield "smallest_margin", stated is None, f"states smallest_margin {stated!r} instead of {derived!r}"
    else:
        yield from _differs("smallest_margin", stated, derived)


def _stable(
    record: SemanticRecord, waves: dict[int, _Sinusoid], pieces: list[tuple[float, float, int]]
) -> Iterator[Finding]:
    """Stable coverage follows from the classes that bound the stable part."""
    if not {label for pair in record.distances for label in pair[:2]} <= waves.keys():
        yield "distances", True, "a class that bounds the stable part lacks its score"
        return
    whole = abs(record.stop - record.start)
    for delta, stated in record.stable:
        lost = 0.0
        for start, stop, label in pieces:
            rivals = [(waves[label].minus(waves[j]), delta * far) for k, j, far in record.distances if k == label]
            if whole:
                lost += _union(arc for margin, slack in rivals for arc in margin.at_most(slack, start, stop)) / whole
            else:
                lost = float(any(margin.value(start) <= slack for margin, slack in rivals))
        yield from _differs("stable", stated, max(0.0, 1.0 - lost), _ARC_TOLERANCE)


def _union(arcs: Iterator[tuple[float, float]]) -> float:
    """Length that some arcs cover together."""
    covered, length = -math.inf, 0.0
    for low, high in sorted(arcs):
        length += max(0.0, high - max(low, covered))
        covered = max(covered, high)
    return length
