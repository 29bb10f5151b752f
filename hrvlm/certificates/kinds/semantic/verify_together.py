"""Which semantic records are sound, of many at once: what `semantic_findings` derives, in arrays.

A page of a large run is made of hundreds of thousands, of which nearly all are sound; what is not, or not known to be,
is looked at one by one, which finds the words for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hrvlm.certificates.kinds.checks import TOLERANCE
from hrvlm.certificates.kinds.semantic.record import LARGEST_DELTA, SemanticRecord
from hrvlm.certificates.kinds.semantic.verify_arrays import (
    LABELS,
    Floats,
    Indices,
    Items,
    Keys,
    Mask,
    arcs_at_most,
    close,
    covered,
    label_keys,
    lowest_of,
    size,
    value,
)
from hrvlm.certificates.kinds.semantic.verify_stable import ARC_TOLERANCE, ROUNDING


def sound_claims(records: Sequence[SemanticRecord]) -> Mask:
    """Records `(R,)` in which `semantic_findings` finds nothing; False where that is not known."""
    found = np.array([_usual(record) for record in records], dtype=np.bool_)
    usual = [record for record, is_usual in zip(records, found.tolist(), strict=True) if is_usual]
    if usual:
        with np.errstate(all="ignore"):  # what is not finite is found out
            found[found] = _Claims(usual).sound()
    return found


def _usual(record: SemanticRecord) -> bool:
    """Whether a record certifies something, and has its evidence in the usual form."""
    evident = record.intervals and record.waves and record.plane is not None and record.largest_deltas is not None
    labels = (record.prediction, *(item[0] for item in record.waves))
    return bool(evident) and not record.margins and min(labels) >= 0 and max(labels) < LABELS


class _Claims:
    """The claims of records in arrays, and which of them hold."""

    def __init__(self, records: Sequence[SemanticRecord]) -> None:
        self.count = len(records)
        self.holds = np.ones(self.count, dtype=np.bool_)
        self.waves = Items.of((r.waves for r in records), 4)
        self.pieces = Items.of((r.intervals for r in records), 3)
        self.distances = Items.of((r.distances for r in records), 3)
        self.stable = Items.of((r.stable for r in records), 2)
        self.largest = Items.of((r.largest_deltas or () for r in records), 3)
        ends = [(r.start, r.stop, r.invariance, *(r.plane or ())) for r in records]
        self.start, self.stop, self.invariance, self.x, self.y, self.angle = np.array(ends, dtype=np.float64).T
        self.lacking = np.array([r.smallest_margin is None for r in records])
        self.smallest = np.array([0.0 if r.smallest_margin is None else r.smallest_margin for r in records])
        self.prediction = np.array([r.prediction for r in records], dtype=np.int64)
        self.whole = self.stop - self.start
        self.labels = Keys(label_keys(self.waves.owner, self.waves.values[:, 0]))

    def sound(self) -> Mask:
        """Which records hold."""
        lists = (self.waves, self.pieces, self.distances, self.stable, self.largest)
        for items in lists:
            self._need(items.owner, np.isfinite(items.values).all(axis=1))
        for items, columns in ((self.pieces, [2]), (self.distances, [0, 1]), (self.largest, [0, 1])):
            named = items.values[:, columns]
            self._need(items.owner, ((named >= 0) & (named < LABELS)).all(axis=1))
        for numbers in (self.start, self.stop, self.x, self.y, self.angle):
            self._all(np.isfinite(numbers))
        if self.holds.all():
            self._joined()
        if (
            not self.holds.all()
        ):  # what cannot be computed with, or is too long, would tell on others: all go one by one
            return np.zeros_like(self.holds)
        self._coverage()
        self._range()
        self._classes()
        self._won()
        self._stable()
        return self.holds

    def _need(self, owner: Indices, good: Any) -> None:
        self.holds[owner[~good]] = False

    def _all(self, good: Mask) -> None:
        self.holds &= good

    def _sum(self, owner: Indices, values: Floats) -> Floats:
        found: Floats = np.bincount(owner, weights=values, minlength=self.count).astype(np.float64)
        return found

    def _coverage(self) -> None:
        delta, share = self.stable.values.T
        order = np.lexsort((delta, self.stable.owner))
        owner, delta, share = self.stable.owner[order], delta[order], share[order]
        self._need(owner, (share >= 0) & (share <= 1) & (delta >= 0) & (delta <= LARGEST_DELTA))
        same = owner[1:] == owner[:-1]
        self._need(owner[1:], ~same | ((delta[1:] > delta[:-1]) & (share[1:] <= share[:-1] + TOLERANCE)))

    def _joined(self) -> None:
        owner, (begin, end, label) = self.pieces.owner, self.pieces.values.T
        same = owner[1:] == owner[:-1]
        self._need(owner[1:], ~same | ((end[:-1] == begin[1:]) & (label[:-1] != label[1:])))
        last = np.cumsum(self.pieces.counts) - 1
        self._all((begin[last + 1 - self.pieces.counts] == self.start) & (end[last] == self.stop))
        steps = (end - begin) * np.copysign(1.0, self.whole)[owner]
        self._need(owner, steps >= 0)
        self._all(np.abs(self.whole) <= math.pi * (1 + TOLERANCE))
        kept = self._sum(owner, np.where(label == self.prediction[owner], steps, 0.0))
        self._all(close(self.invariance, np.where(self.whole == 0, 1.0, kept / np.abs(self.whole))))

    def _range(self) -> None:
        for angle, other in ((self.start, np.arctan2(self.y, self.x)), (self.stop, self.angle)):
            turns = (angle - other) / (2 * math.pi)
            whole = np.rint(turns)  # of more than one, the digits behind the point may be lost
            self._all((np.abs(whole) <= 1) & (np.abs(turns - whole) * 2 * math.pi <= TOLERANCE))

    def _classes(self) -> None:
        """Every class that is named has its score, and only one."""
        self.holds[self.waves.owner[self.labels.repeated()]] = False
        self._all(self.labels.find(label_keys(np.arange(self.count), self.prediction))[1])
        for items, columns in ((self.pieces, [2]), (self.distances, [0, 1]), (self.largest, [0, 1])):
            for column in columns:
                self._need(items.owner, self._waves_of(items.owner, items.values[:, column])[1])

    def _waves_of(self, owner: Indices, label: Any) -> tuple[Indices, Mask]:
        return self.labels.find(label_keys(owner, label))

    def _won(self) -> None:
        """No class wins where another is stated to, and the smallest margin is that in the middle of a piece."""
        owner, (begin, end, label) = self.pieces.owner, self.pieces.values.T
        zero = np.zeros(self.count)
        owner = np.concatenate([owner, np.arange(self.count)])  # the image itself is a piece without length
        first, last = (np.concatenate([np.abs(e - self.start[self.pieces.owner]), zero]) for e in (begin, end))
        self.first, self.last = first, last
        winner = self._waves_of(owner, np.concatenate([label, self.prediction]))[0]
        piece, other = self.waves.beside(owner)
        margin = self._margin(winner[piece], other)
        low = lowest_of(margin, first[piece], last[piece])
        sizes = size(self.waves.values[:, 1:].T)
        slack = TOLERANCE * size(margin) + ROUNDING * (sizes[winner[piece]] + sizes[other])
        rival = winner[piece] != other
        self._need(owner[piece], ~rival | (low >= 0) | (low >= -slack))
        middle = (first + last)[piece] / 2
        counted = rival & (first != last)[piece]
        smallest = np.full(self.count, np.inf)
        np.minimum.at(smallest, owner[piece][counted], value(margin, middle)[counted])
        none = np.bincount(owner[piece][counted], minlength=self.count) == 0
        self._all(np.where(none | self.lacking, none & self.lacking, close(self.smallest, smallest)))

    def _margin(self, winner: Indices, other: Indices) -> Floats:
        scores = self.waves.values[:, 1:].T
        found: Floats = scores[:, winner] - scores[:, other]
        return found

    def _stable(self) -> None:
        """Stable coverage at every delta, and the delta up to which it is 1, follow from the classes that bound it."""
        owner, (label, rival, distance) = self.distances.owner, self.distances.values.T
        margin = self._margin(self._waves_of(owner, label)[0], self._waves_of(owner, rival)[0])
        piece, bound = self.distances.beside(self.pieces.owner)
        own = self.pieces.values[piece, 2] == label[bound]
        piece, bound = piece[own], bound[own]
        low = lowest_of(margin[:, bound], self.first[piece], self.last[piece])
        lost = self._lost(piece, bound, low, margin, distance)
        self._need(self.stable.owner, close(self.stable.values[:, 1], np.maximum(0.0, 1.0 - lost), ARC_TOLERANCE))
        lowest = np.full(len(label), np.inf)
        np.minimum.at(lowest, bound, low)
        self._largest(np.where(np.isinf(lowest), 0.0, lowest))

    def _lost(self, piece: Indices, bound: Indices, low: Floats, margin: Floats, distance: Floats) -> Floats:
        """Share `(M,)` of each record's range that is not stable at each of its deltas."""
        pair, at = self.stable.beside(self.pieces.owner[piece])
        slack = self.stable.values[at, 0] * distance[bound[pair]]
        lacking = low[pair] <= slack
        pair, at, slack = pair[lacking], at[lacking], slack[lacking]
        begin, end = self.first[piece[pair]], self.last[piece[pair]]
        part = at * len(self.pieces.owner) + piece[pair]
        arcs = arcs_at_most(margin[:, bound[pair]], slack, begin, end)
        lost = covered(np.tile(part, len(arcs)), *(np.concatenate(ends) for ends in zip(*arcs, strict=True)))
        length = np.bincount(np.tile(at, len(arcs)), weights=lost, minlength=len(self.stable.owner))
        whole = np.abs(self.whole)[self.stable.owner]
        touched = np.bincount(at, minlength=len(whole)) > 0
        return np.where(whole == 0, touched, length / whole)

    def _largest(self, lowest: Floats) -> None:
        asked = self.stable.counts > 0
        owner, (label, rival, distance) = self.distances.owner, self.distances.values.T
        room = np.where(distance > 0, np.minimum(lowest / distance, LARGEST_DELTA), LARGEST_DELTA)
        reach = np.where(lowest <= 0, 0.0, room)
        of, (winner, other, delta) = self.largest.owner, self.largest.values.T
        stated, won = label_keys(of, winner), label_keys(self.pieces.owner, self.pieces.values[:, 2])
        real = (self.first != self.last)[: len(self.pieces.owner)] | (self.start == self.stop)[self.pieces.owner]
        won = won[real]
        self._all(~asked | (self.waves.counts > 1))  # of a single class nothing is usual
        self._need(of, ~asked[of] | Keys(won).find(stated)[1])
        self._need(self.pieces.owner[real], ~asked[self.pieces.owner[real]] | Keys(stated).find(won)[1])
        self.holds[of[Keys(stated).repeated()]] = False
        # Pairs of labels by the numbers of their scores, which are few.
        pairs = Keys(self._pair(owner, label, rival))
        self.holds[owner[pairs.repeated()]] = False
        at, known = pairs.find(self._pair(of, winner, other))
        reached = reach[at] if len(reach) else np.zeros(len(at))
        self._need(of, ~asked[of] | (known & close(delta, reached)))
        first, bounded = Keys(stated).find(label_keys(owner, label))
        if len(stated):
            limit = delta[first] - TOLERANCE * (1 + delta[first])
            self._need(owner, ~asked[owner] | ~bounded | (reach >= limit))

    def _pair(self, owner: Indices, label: Floats, other: Floats) -> Indices:
        return self._waves_of(owner, label)[0] * len(self.waves.owner) + self._waves_of(owner, other)[0]
