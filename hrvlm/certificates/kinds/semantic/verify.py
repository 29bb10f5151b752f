"""Derives every semantic claim again from the scores, coordinates and distances of its row, without the model.

In plain arithmetic, apart from the code that made the claims. Rows from before scores were kept must be consistent in
themselves: intervals cover the range one after the other, and shares follow from them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from hrvlm.certificates.kinds.checks import TOLERANCE
from hrvlm.certificates.kinds.semantic.record import LARGEST_DELTA, SemanticRecord
from hrvlm.certificates.kinds.semantic.verify_stable import ROUNDING, Piece, Sinusoid, differs, stable_findings
from hrvlm.rows.verifying import Finding


def semantic_findings(record: SemanticRecord) -> Iterator[Finding]:
    """What of a semantic record does not follow from what it holds."""
    numbers = (record.start, record.stop, record.invariance, *(record.plane or ()))
    lists = (record.intervals, record.waves, record.distances, record.stable, record.margins)
    held = itertools.chain.from_iterable(itertools.chain(*lists, record.largest_deltas or ()))
    if not all(map(math.isfinite, itertools.chain(numbers, held))):
        yield "intervals", True, "holds a number that is not finite"
        return
    yield from _coverage(record)
    if not record.intervals:
        yield from differs("invariance", record.invariance, 0.0)
        if record.reason is None:
            yield "reason", False, "nothing is certified and no reason given"
        return
    yield from _joined(record)
    if record.waves or record.plane is not None:
        yield from _derived(record)


def _coverage(record: SemanticRecord) -> Iterator[Finding]:
    """Shares lie in [0, 1], fall as delta grows, and are 0 where nothing is certified."""
    pairs = sorted(record.stable)
    for previous, following in itertools.pairwise(pairs):
        if following[1] > previous[1] + TOLERANCE:
            yield "stable", True, f"stable coverage grows with delta from {previous} to {following}"
    if any(not 0 <= share <= 1 for _, share in pairs):
        yield "stable", True, f"stable coverage outside [0, 1]: {record.stable}"
    if any(not 0 <= delta <= LARGEST_DELTA for delta, _ in pairs) or len(dict(pairs)) < len(pairs):
        yield "stable", True, f"expected different deltas in [0, {LARGEST_DELTA:g}], got {record.stable}"
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
    yield from differs("invariance", record.invariance, same / abs(whole) if whole else 1.0)


def _derived(record: SemanticRecord) -> Iterator[Finding]:
    """Range, winners, smallest margin and stable coverage follow from the scores that the row holds."""
    waves = {label: Sinusoid(*numbers) for label, *numbers in record.waves}
    winners = {record.prediction, *(label for _, _, label in record.intervals)}
    if record.plane is None or len(waves) < len(record.waves) or not winners <= waves.keys():
        yield "waves", True, f"the scores of classes {sorted(waves)} cannot show where {sorted(winners)} win"
        return
    yield from _range(record, *record.plane)
    pieces = [Piece.of(abs(a - record.start), abs(b - record.start), label) for a, b, label in record.intervals]
    yield from _won(waves, [Piece.of(0.0, 0.0, record.prediction)], "prediction")
    yield from _won(waves, pieces, "intervals")
    for piece, following in itertools.pairwise(pieces):
        if piece.label == following.label:
            yield "intervals", False, f"the intervals on both sides of {piece.stop!r} have one class, {piece.label}"
    yield from _margin(record, waves, pieces)
    yield from stable_findings(record, waves, pieces)


def _range(record: SemanticRecord, x: float, y: float, angle: float) -> Iterator[Finding]:
    """The range starts at the image's angle and ends, the shorter way round, at the target's."""
    start = math.atan2(y, x)
    if abs(math.remainder(record.start - start, 2 * math.pi)) > TOLERANCE:
        yield "start", True, f"starts at {record.start!r}, where the image lies at {start!r}"
    if abs(math.remainder(record.stop - angle, 2 * math.pi)) > TOLERANCE:
        yield "stop", True, f"stops at {record.stop!r}, where the target lies at {angle!r}"


def _won(waves: dict[int, Sinusoid], pieces: list[Piece], name: str) -> Iterator[Finding]:
    """No class wins where another one is stated to."""
    for piece in pieces:
        winner = waves[piece.label]
        for other, wave in waves.items():
            if other == piece.label:
                continue
            margin = winner.minus(wave)
            low = margin.lowest(piece)
            if low < 0 and low < -(TOLERANCE * margin.size() + ROUNDING * (winner.size() + wave.size())):
                where = f"from {piece.start!r} to {piece.stop!r} past the image"
                yield name, True, f"{where}, class {piece.label} loses to {other} by up to {-low!r}"


def _margin(record: SemanticRecord, waves: dict[int, Sinusoid], pieces: list[Piece]) -> Iterator[Finding]:
    smallest = list[float]()
    for piece in pieces:
        if piece.start != piece.stop:
            winner, middle = waves[piece.label], piece.middle()
            smallest += [winner.minus(wave).towards(middle) for other, wave in waves.items() if other != piece.label]
    stated, derived = record.smallest_margin, min(smallest, default=None)
    if stated is None or derived is None:
        if stated is not derived:
            yield "smallest_margin", stated is None, f"states smallest_margin {stated!r} instead of {derived!r}"
    else:
        yield from differs("smallest_margin", stated, derived)
