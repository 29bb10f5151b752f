"""Derives the stable coverage of a semantic row again, and the largest delta at which it is 1, in plain arithmetic."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hrvlm.certificates.kinds.checks import TOLERANCE
from hrvlm.certificates.kinds.semantic.record import LARGEST_DELTA, SemanticRecord
from hrvlm.rows.verifying import Finding

ROUNDING = 1e-12  # share of the scores' size by which two of them may differ where they cross
ARC_TOLERANCE = 1e-6  # of shares bounded by arcs: where two waves nearly touch, an end moves by the root of rounding
Direction = tuple[float, float]
"""Cosine and sine of an angle."""


class Piece(NamedTuple):
    """An interval of a class, both ends in [0, pi], with their directions, which all scores there share."""

    start: float
    stop: float
    label: int
    first: Direction
    last: Direction

    @classmethod
    def of(cls, start: float, stop: float, label: int) -> Piece:
        """From angles and class."""
        return cls(start, stop, label, (math.cos(start), math.sin(start)), (math.cos(stop), math.sin(stop)))

    def middle(self) -> Direction:
        """Of the angle halfway."""
        angle = (self.start + self.stop) / 2
        return math.cos(angle), math.sin(angle)


class Sinusoid(NamedTuple):
    """`a cos t + b sin t + c`."""

    a: float
    b: float
    c: float

    def minus(self, other: Sinusoid) -> Sinusoid:
        """Their difference."""
        return Sinusoid(self.a - other.a, self.b - other.b, self.c - other.c)

    def value(self, t: float) -> float:
        """At an angle."""
        return self.towards((math.cos(t), math.sin(t)))

    def towards(self, direction: Direction) -> float:
        """At an angle of which cosine and sine are known."""
        return self.a * direction[0] + self.b * direction[1] + self.c

    def size(self) -> float:
        """Bound on its values, to which rounding is relative."""
        return math.hypot(self.a, self.b) + abs(self.c)

    def lowest(self, piece: Piece) -> float:
        """Smallest value on an interval: inside where it falls at first and rises at last, else at an end."""
        (a, b, c), (x, y), (u, v) = self, piece.first, piece.last
        if b * x < a * y and a * v < b * u:
            return c - math.hypot(a, b)
        return min(a * x + b * y + c, a * u + b * v + c)

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


def differs(name: str, stated: float, derived: float, tolerance: float = TOLERANCE) -> Iterator[Finding]:
    """What a stated number says more or less than the derived one."""
    if not math.isclose(stated, derived, rel_tol=tolerance, abs_tol=tolerance):
        word = "more" if stated > derived else "less"
        yield name, stated > derived, f"states {name} {stated!r}, {word} than the derived {derived!r}"


class Rival(NamedTuple):
    """A class that bounds the stable part of a winner, whose margin must exceed delta distances and an error."""

    winner: int
    other: int
    margin: Sinusoid
    distance: float
    error: float

    def reach(self, lowest: float) -> float:
        """Largest delta at which the margin is enough where it is no less than its lowest value."""
        room = lowest - self.error
        if room <= 0:
            return 0.0
        return min(room / self.distance, LARGEST_DELTA) if self.distance > 0 else LARGEST_DELTA


Bounds = list[tuple[Rival, float]]
"""What bounds the stable part of an interval, with the lowest margins there."""


def stable_findings(record: SemanticRecord, waves: dict[int, Sinusoid], pieces: list[Piece]) -> Iterator[Finding]:
    """Stable coverage, and the largest delta at which it is 1, follow from the classes that bound the stable part.

    Args:
        record: a row's record.
        waves: score of each class it holds, t radians past the image.
        pieces: its intervals, in such radians.
    """
    named = [*record.distances, *record.margins, *(record.largest_deltas or ())]
    if not {label for pair in named for label in pair[:2]} <= waves.keys():
        yield "distances", True, "a class that bounds the stable part lacks its score"
        return
    yield from _margins(record, waves)
    whole, rivals = abs(record.stop - record.start), rivals_of(record, waves)
    bounds = [[(r, r.margin.lowest(piece)) for r in rivals if r.winner == piece.label] for piece in pieces]
    for delta, stated in record.stable:
        lost = 0.0
        for piece, bound in zip(pieces, bounds, strict=True):
            lacking = [(r.margin, slack) for r, low in bound if low <= (slack := delta * r.distance + r.error)]
            if whole and lacking:
                lost += _union(arc for m, slack in lacking for arc in m.at_most(slack, piece.start, piece.stop)) / whole
            elif not whole:
                lost = float(bool(lacking))
        yield from differs("stable", stated, max(0.0, 1.0 - lost), ARC_TOLERANCE)
    if record.stable and record.largest_deltas is not None:
        yield from _largest(record, rivals, pieces, bounds)


def rivals_of(record: SemanticRecord, waves: dict[int, Sinusoid]) -> list[Rival]:
    """The classes that bound the stable part, with their margins as finely as the row holds them."""
    fine = {(k, j): (Sinusoid(a, b, c), error) for k, j, a, b, c, error in record.margins}
    found = []
    for k, j, distance in record.distances:
        margin, error = fine.get((k, j), (waves[k].minus(waves[j]), 0.0))
        found.append(Rival(k, j, margin, distance, error))
    return found


def _margins(record: SemanticRecord, waves: dict[int, Sinusoid]) -> Iterator[Finding]:
    """Margins that were computed more finely than waves can be subtracted are those of the waves, up to rounding."""
    for k, j, a, b, c, error in record.margins:
        fine, sizes = Sinusoid(a, b, c), waves[k].size() + waves[j].size()
        if fine.minus(waves[k].minus(waves[j])).size() > ROUNDING * sizes:
            yield "margins", True, f"the margin of class {k} over {j} is not the difference of their scores"
        if error < sys.float_info.epsilon * fine.size():
            yield "margins", True, f"states an error of {error!r} for the margin of class {k} over {j}, below rounding"


def _largest(
    record: SemanticRecord, rivals: list[Rival], pieces: list[Piece], bounds: list[Bounds]
) -> Iterator[Finding]:
    """Per winner, the class that bounds its stable part first and the delta at which it does."""
    stated = {k: (j, delta) for k, j, delta in record.largest_deltas or ()}
    winners = {piece.label for piece in pieces if piece.start != piece.stop or record.start == record.stop}
    if len(record.waves) > 1 and stated.keys() != winners:
        text = f"expected the class that bounds each of {sorted(winners)} first, got those of {sorted(stated)}"
        yield "largest_deltas", True, text
        return
    lowest: dict[tuple[int, int], float] = {}
    for rival, low in itertools.chain.from_iterable(bounds):
        pair = rival.winner, rival.other
        lowest[pair] = min(low, lowest.get(pair, low))
    for label, (other, delta) in stated.items():
        reach = {r.other: r.reach(lowest.get((label, r.other), 0.0)) for r in rivals if r.winner == label}
        if other not in reach:
            yield "largest_deltas", True, f"class {other}, said to bound class {label} first, has no distance from it"
            continue
        yield from differs("largest_deltas", delta, reach[other])
        if min(reach.values()) < delta - TOLERANCE * (1 + delta):
            yield "largest_deltas", True, f"another class bounds class {label} before {other} does"


def _union(arcs: Iterable[tuple[float, float]]) -> float:
    """Length that some arcs cover together."""
    covered, length = -math.inf, 0.0
    for low, high in sorted(arcs):
        length += max(0.0, high - max(low, covered))
        covered = max(covered, high)
    return length
