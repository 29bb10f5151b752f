"""The calibrated stretches of one image's changes at all levels, and the classes that end them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import starmap, zip_longest
from operator import add
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.kinds.semantic.calibrated_levels import AskedMargins, Columns, Level, LevelStretches
from hrvlm.certificates.kinds.semantic.calibrated_stretch import CalibratedStretch, Ending
from hrvlm.certificates.kinds.semantic.calibration import Calibration, ThresholdRecord
from hrvlm.certificates.kinds.semantic.speed import shares_of

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
        """Threshold, 0 for none, whether in units of weights, and growth."""
        return self.threshold or 0.0, self.statement.scale.unit == "weights", self.statement.scale.growth

    @cached_property
    def said(self) -> tuple[Any, ...]:
        """The fields of a `CalibratedStretch` that are the same for every image."""
        s = self.statement
        return s.over, s.group, s.epsilon, self.form, s.scale.unit, s.scale.growth, self.threshold


class AskedTensors(NamedTuple):
    """Thresholds of N changes at L levels, M being the most that are asked of a change at a level."""

    margins: AskedMargins
    none: Tensor  # (M, N, L) where no threshold is asked, or the calibration found none
    speeds: tuple[np.ndarray, np.ndarray]  # knots (M, N, L, Q) of shares and fractions, see `shares_of`


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
        self._columns: Columns | None = None

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return any(some for level in self.by_level for some in level)

    @cached_property
    def tensors(self) -> AskedTensors:
        """The thresholds."""
        rows = list(zip_longest(*(some for level in self.by_level for some in level)))
        shape = (len(rows), len(self.by_level), -1)
        told = [[(0.0, True, 0.0) if one is None else one.numbers for one in row] for row in rows]
        parts = [part.contiguous() for part in torch.tensor(told, dtype=torch.float64)
                 .unflatten(1, shape[1:]).transpose(1, 2).unbind(dim=-1)]  # fmt: skip
        none = torch.tensor([[one is None or one.threshold is None for one in row] for row in rows], dtype=torch.bool)
        speeds = [[((0.0, 1.0),) * 2 if one is None else _knots(one) for one in row] for row in rows]
        most = max(len(shares) for row in speeds for shares, _ in row)
        padded = [[[list(k) + [k[-1]] * (most - len(k)) for k in knots] for knots in row] for row in speeds]
        shares, fractions = np.array(padded).reshape(*shape, 2, most).transpose(3, 0, 2, 1, 4).copy()
        margins = AskedMargins(parts[0], parts[1] > 0, parts[2])
        return AskedTensors(margins, none.unflatten(1, shape[1:]).transpose(1, 2).contiguous(), (shares, fractions))

    @cached_property
    def said(self) -> list[list[list[tuple[Any, ...]]]]:
        """Per level and change the fields of stretches that are the same for every image."""
        return [[[one.said for one in some] for some in level] for level in self.by_level]

    def columns(self, levels: Sequence[Level]) -> Columns:
        """The classes of an image's levels, which are seldom others than of the image before."""
        scorers = [level.scorer for level in levels]
        if self._columns is None or not self._columns.are_of(scorers):
            self._columns = Columns(scorers)
        return self._columns


def _knots(asked: Asked) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return asked.statement.speed.shares, asked.statement.speed.fractions


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

    stretches: tuple[CalibratedStretch, ...]
    ends: dict[int, Ending]


def calibrated_stretches(levels: Sequence[Level], asked: AskedThresholds) -> list[list[Stated]]:
    """Per level and change the stretches, and the classes that end them with distance, margin and its error.

    Args:
        levels: of the image, of all scorers.
        asked: thresholds.
    """
    if not asked:
        return [[Stated((), {}) for _ in some] for some in asked.by_level]
    stretches, tensors = LevelStretches(levels, asked.columns(levels)), asked.tensors
    extent, column, classes = (part.cpu() for part in stretches.reaches(tensors.margins.to(stretches.whole.device)))
    extent, column = extent.masked_fill(tensors.none, 0.0), column.masked_fill(tensors.none, -1)
    start, stop = (torch.stack(list(ends), dim=1).cpu() for ends in zip(*map(_ends, levels), strict=True))
    ranges = (stop - start).abs()
    fraction = np.divide(extent, ranges, out=np.zeros(extent.shape), where=(ranges > 0).numpy())
    share = np.where(extent > 0, np.minimum(1.0, shares_of(fraction, *tensors.speeds)), 0.0)
    reached = [part.transpose(2, 1, 0).tolist() for part in (extent.numpy(), share)]
    found = [
        [Stated(_stretches(*of_change), {}) for of_change in zip(*of_level, strict=True)]
        for of_level in zip(asked.said, *reached, strict=True)
    ]
    place = (column >= 0).nonzero(as_tuple=True)
    ending = dict.fromkeys(
        zip(*(part.tolist() for part in (place[2], place[1], classes[place], column[place])), strict=True)
    )
    for (level, i, other, _), end in zip(ending, stretches.bounds([(i, c) for _, i, _, c in ending]), strict=True):
        found[level][i].ends[other] = end
    return found


def _ends(level: Level) -> tuple[Tensor, Tensor]:
    return level.partition.start, level.partition.stop


def _stretches(said: list[tuple[Any, ...]], extents: list[float], shares: list[float]) -> tuple[CalibratedStretch, ...]:
    """What is said of all images, with how far each stretch reaches; of these there may be more than are asked."""
    return tuple(starmap(CalibratedStretch, map(add, said, zip(extents, shares, strict=True))))
