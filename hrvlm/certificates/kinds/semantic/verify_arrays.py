"""Lists of many records, and waves and arcs of many, in arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.checks import TOLERANCE

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
LABELS = 2**31
"""Labels below it, times as many records as are looked at together, are exact in 64 bits."""
_APART = 16.0
"""More than the length of any range: arcs of different parts are told apart by it."""


class Items(NamedTuple):
    """Lists of all records, one after the other.

    Attributes:
        owner: `(N,)` number of the record.
        values: `(N, C)` what the items hold.
        counts: `(R,)` items of each record.
    """

    owner: Indices
    values: Floats
    counts: Indices

    @classmethod
    def of(cls, lists: Iterable[Sequence[tuple[Any, ...]]], width: int) -> Items:
        """From the lists of the records."""
        parts = list(lists)
        counts = np.array([len(part) for part in parts], dtype=np.int64)
        values = np.fromiter(chain.from_iterable(chain.from_iterable(parts)), dtype=np.float64).reshape(-1, width)
        return cls(np.repeat(np.arange(len(parts)), counts), values, counts)

    def beside(self, owner: Indices) -> tuple[Indices, Indices]:
        """Pairs of each of some things with each item of the same record: number of the thing, number of the item."""
        counts = self.counts[owner]
        first = (np.cumsum(self.counts) - self.counts)[owner]
        thing = np.repeat(np.arange(len(owner)), counts)
        return thing, np.arange(len(thing)) - np.repeat(np.cumsum(counts) - counts - first, counts)


class Keys:
    """Finds items by record and label, or by record and two labels."""

    def __init__(self, keys: Indices) -> None:
        self.order = np.argsort(keys, kind="stable")
        self.sorted = keys[self.order]

    def find(self, keys: Indices) -> tuple[Indices, Mask]:
        """Numbers of items, and whether there are any."""
        if not len(self.sorted):
            return np.zeros_like(keys), np.zeros(len(keys), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self.sorted, keys), len(self.sorted) - 1)
        return self.order[at], self.sorted[at] == keys

    def repeated(self) -> Indices:
        """Numbers of items whose key another one has."""
        return self.order[1:][self.sorted[1:] == self.sorted[:-1]]


def label_keys(owner: Indices, label: Any) -> Indices:
    """Keys by number of the record and label, which is below `LABELS`."""
    return owner * LABELS + np.asarray(label).astype(np.int64)


def close(stated: Floats, derived: Floats, tolerance: float = TOLERANCE) -> Mask:
    """As `math.isclose`, False where one of them is not finite."""
    apart = np.abs(stated - derived)
    found: Mask = apart <= tolerance * np.maximum(1.0, np.maximum(np.abs(stated), np.abs(derived)))
    return found & np.isfinite(apart)


def value(wave: Floats, angle: Floats) -> Floats:
    """Of waves (a, b, c) `(3, N)`, `a cos t + b sin t + c`, at angles."""
    return wave[0] * np.cos(angle) + wave[1] * np.sin(angle) + wave[2]


def size(wave: Floats) -> Floats:
    """Bound on the values of waves, to which rounding is relative."""
    return np.hypot(wave[0], wave[1]) + np.abs(wave[2])


def lowest_of(wave: Floats, first: Floats, last: Floats) -> Floats:
    """Smallest value on an interval: inside where it falls at first and rises at last, else at an end."""
    a, b, c = wave
    inside = (b * np.cos(first) < a * np.sin(first)) & (a * np.sin(last) < b * np.cos(last))
    return np.where(inside, c - np.hypot(a, b), np.minimum(value(wave, first), value(wave, last)))


def arcs_at_most(wave: Floats, bound: Floats, start: Floats, stop: Floats) -> list[tuple[Floats, Floats]]:
    """Arcs of [start, stop] where values are at most a bound: from and to, no arc where these do not rise."""
    need, amplitude = bound - wave[2], np.hypot(wave[0], wave[1])
    half, peak = np.arccos(np.clip(need / amplitude, -1.0, 1.0)), np.arctan2(wave[1], wave[0])
    everywhere, nowhere = need >= amplitude, need < -amplitude
    found = []
    for turn in (0.0, -2 * math.pi):
        low = np.where(everywhere, start, np.maximum(start, peak + half + turn))
        high = np.where(everywhere, stop, np.minimum(stop, peak - half + turn + 2 * math.pi))
        found.append((low, np.where(nowhere, low, high)))
    return found


def covered(part: Indices, low: Floats, high: Floats) -> Floats:
    """How much each arc covers that those before it, of the same part, do not."""
    numbers = np.unique(part, return_inverse=True)[1]
    order = np.lexsort((low, numbers))
    shift = numbers[order] * _APART
    begins, ends = low[order] + shift, np.maximum(low, high)[order] + shift
    before = np.maximum.accumulate(np.concatenate([[-np.inf], ends]))[:-1] if len(ends) else ends
    found = np.empty_like(low)
    found[order] = np.maximum(0.0, ends - np.maximum(begins, before))
    return found
