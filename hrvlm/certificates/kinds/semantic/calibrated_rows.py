"""The calibrated stretches of one image's changes at all levels, and the classes that end them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import accumulate, islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.semantic.calibrated_levels import AskedMargins, Level, level_reaches
from hrvlm.certificates.kinds.semantic.calibrated_stretch import (
    CalibratedClaim,
    CalibratedClaims,
    Ending,
    claims_of,
)
from hrvlm.certificates.kinds.semantic.calibration import Calibration, ThresholdRecord

Place = tuple[str, str, int]
"""Scorer, tree and level."""
Labels = tuple[int | None, ...]
"""Of an image at the levels of groups."""
_KEPT = 256  # combinations of groups that images are in: some 50 MiB


@dataclass(frozen=True)
class Asked:
    """A threshold that is asked of a change of an image.

    Attributes:
        statement: of the calibration.
        form: one of its forms.
        change: position of the change.
    """

    statement: ThresholdRecord
    form: str
    change: int

    @property
    def threshold(self) -> float | None:
        """None where the calibration found none."""
        return self.statement.thresholds[self.form]

    @property
    def numbers(self) -> tuple[float, bool, float]:
        """Threshold, NaN for none, whether in units of weights, and growth."""
        return (
            math.nan if self.threshold is None else self.threshold,
            self.statement.scale.unit == "weights",
            self.statement.scale.growth,
        )

    @cached_property
    def claim(self) -> CalibratedClaim:
        """What rows say of it."""
        s = self.statement
        return CalibratedClaim(s.over, s.group, s.epsilon, self.form, s.scale.unit, s.scale.growth, self.threshold)


class AskedThresholds:
    """All thresholds that are asked of the changes of an image at its levels; the same for all images of its groups.

    Args:
        asked: of each level, in the order of rows.
        changes: how many there are.
    """

    def __init__(self, asked: Sequence[Sequence[Asked]], changes: int) -> None:
        self.by_level: list[list[list[Asked]]] = [[[] for _ in range(changes)] for _ in asked]
        for level, some in zip(self.by_level, asked, strict=True):
            for one in some:
                level[one.change].append(one)
        self._all = [one for level in self.by_level for some in level for one in some]

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return bool(self._all)

    @cached_property
    def margins(self) -> AskedMargins:
        """The thresholds `(L, N, M)`, M being the most that are asked of a change at a level."""
        told = np.full((*self.places.shape, 3), (math.nan, 1.0, 0.0))
        told[self.places] = [one.numbers for one in self._all]
        thresholds, weights, growth = (np.ascontiguousarray(part) for part in np.moveaxis(told, -1, 0))
        return AskedMargins(thresholds, weights > 0, growth)

    @cached_property
    def places(self) -> np.ndarray:
        """Mask `(L, N, M)` of the thresholds that are asked, in their order, where some changes have fewer."""
        mask: np.ndarray = np.arange(self.counts.max()) < self.counts[..., None]
        return mask

    @cached_property
    def counts(self) -> np.ndarray:
        """How many `(L, N)` are asked of each change at each level."""
        return np.array([[len(some) for some in level] for level in self.by_level])

    @cached_property
    def speeds(self) -> tuple[np.ndarray, np.ndarray]:
        """Knots `(P, Q)` of shares and fractions of all thresholds, see `shares_of`."""
        speeds = [one.statement.speed for one in self._all]
        most = max(len(speed.shares) for speed in speeds)
        shares, fractions = (
            np.array([_padded(getattr(speed, name), most) for speed in speeds]) for name in ("shares", "fractions")
        )
        return shares, fractions

    @cached_property
    def claims(self) -> list[CalibratedClaims]:
        """What is claimed of each change at one level after the other."""
        return [claims_of([one.claim for one in some]) for level in self.by_level for some in level]

    @cached_property
    def parts(self) -> list[tuple[int, int]]:
        """Begin and end, among all thresholds, of those of each change at one level after the other."""
        return [*pairwise([0, *accumulate(self.counts.ravel().tolist())])]


def _padded(knots: tuple[float, ...], count: int) -> tuple[float, ...]:
    return (*knots, *[knots[-1]] * (count - len(knots)))


class Asking:
    """Finds the thresholds that hold of an image: those of its own groups alone.

    Args:
        calibration: of the model.
        changes: of images.
    """

    def __init__(self, calibration: Calibration, changes: Sequence[Attribute]) -> None:
        self.calibration, self.changes = calibration, changes
        self._groups = sorted({s.group[:2] for s in calibration.statements if s.group is not None})
        self._level, self._image = cache(self._of_level), lru_cache(_KEPT)(self._of_image)

    def __call__(self, predictions: Mapping[Place, int]) -> AskedThresholds:
        """Those of all levels.

        Args:
            predictions: class of the image by scorer, tree and level, in the order of levels.
        """
        return self._image(
            tuple(
                (place, tuple(predictions.get((place[0], *group)) for group in self._groups)) for place in predictions
            )
        )

    def _of_image(self, levels: tuple[tuple[Place, Labels], ...]) -> AskedThresholds:
        return AskedThresholds([self._level(*level) for level in levels], len(self.changes))

    def _of_level(self, place: Place, labels: Labels) -> list[Asked]:
        """Those of a level, for images of some labels at the levels of groups."""
        known = dict(zip(self._groups, labels, strict=True))
        return [
            Asked(statement, form, i)
            for i, change in enumerate(self.changes)
            for statement in self.calibration.of(change.name, change.target_kind, *place)
            if statement.group is None or known[statement.group[:2]] == statement.group[2]
            for form in statement.thresholds
        ]


class Stated(NamedTuple):
    """What is stated of one change at one level, and the classes that end it, see `evidence`."""

    said: dict[str, Any]  # fields of its record
    ends: list[Ending]


def calibrated_stretches(levels: Sequence[Level], asked: AskedThresholds) -> list[list[Stated]]:
    """Per level and change what is claimed, and the classes that end the stretches.

    Args:
        levels: of the image, of all scorers.
        asked: thresholds.
    """
    from hrvlm.certificates.kinds.semantic.speed_kernels import shares_of  # with numba, when it is called for

    if not asked:
        return [[Stated({}, []) for _ in some] for some in asked.by_level]
    reached = level_reaches(levels, asked.margins)
    extent = reached.extent[asked.places]
    start, stop = (torch.stack([getattr(level.partition, end) for level in levels]) for end in ("start", "stop"))
    length = (stop - start).abs().cpu().numpy().repeat(asked.counts.ravel())
    extents, shares = extent.tolist(), shares_of(extent, length, *asked.speeds).tolist()
    stated = (
        Stated(
            {
                "calibrated": claims,
                "calibrated_extents": tuple(extents[begin:end]),
                "calibrated_shares": tuple(shares[begin:end]),
            },
            ends,
        )
        for claims, (begin, end), ends in zip(asked.claims, asked.parts, reached.ends, strict=True)
    )
    return [[*islice(stated, len(some))] for some in asked.by_level]
