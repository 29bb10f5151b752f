"""The calibrated stretches of one image's changes, and the classes that end them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.embedding.envelope import Sinusoids
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_extent import Ending, FirstStretches
from hrvlm.certificates.kinds.semantic.calibrated_stretch import CalibratedStretch
from hrvlm.certificates.kinds.semantic.calibration import Calibration, ThresholdRecord
from hrvlm.certificates.kinds.semantic.calibration_losses import share_of


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

    def stretch(self, extent: float, whole: float) -> CalibratedStretch:
        """What is stated of a stretch of `extent` radians on a range of `whole`."""
        s = self.statement
        share, scale = share_of(extent, whole, s.speed), (s.scale.unit, s.scale.growth)
        return CalibratedStretch(s.over, s.group, s.epsilon, self.form, *scale, self.threshold, extent, share)


class AskedThresholds:
    """All thresholds that are asked of the changes of an image at one level; the same for all images of its groups.

    Args:
        asked: in the order of rows.
        changes: how many there are.
    """

    def __init__(self, asked: Sequence[Asked], changes: int) -> None:
        self.by_change: list[list[Asked]] = [[] for _ in range(changes)]
        for one in asked:
            self.by_change[one.change].append(one)

    @cached_property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Thresholds, whether in units of weights, and growth, each `(M, changes)`: see `FirstStretches.reaches`."""
        rows = list(zip_longest(*self.by_change))
        told = [[(0.0, True, 0.0) if one is None else one.numbers for one in row] for row in rows]
        thresholds, weights, growth = torch.tensor(told, dtype=torch.float64).unbind(dim=-1)
        return thresholds, weights > 0, growth


class Asking:
    """Finds the thresholds that hold of an image: those of its own groups alone.

    Args:
        calibration: of the model.
        changes: of images.
    """

    def __init__(self, calibration: Calibration, changes: Sequence[Attribute]) -> None:
        self.calibration, self.changes = calibration, changes
        self._groups = sorted({s.group[:2] for s in calibration.statements if s.group is not None})
        self._known: dict[tuple[Any, ...], AskedThresholds] = {}

    def __call__(
        self, scorer: str, level: tuple[str, int], predictions: Mapping[tuple[str, int], int]
    ) -> AskedThresholds:
        """Those of one level.

        Args:
            scorer: kind of the scorer.
            level: tree and level.
            predictions: class of the image by tree and level.
        """
        key = (scorer, level, *(predictions.get(group) for group in self._groups))
        if key not in self._known:
            self._known[key] = AskedThresholds(self._asked(scorer, level, predictions), len(self.changes))
        return self._known[key]

    def _asked(self, scorer: str, level: tuple[str, int], predictions: Mapping[tuple[str, int], int]) -> list[Asked]:
        return [
            Asked(statement, form, i)
            for i, change in enumerate(self.changes)
            for statement in self.calibration.of(change.name, change.target_kind, scorer, *level)
            if statement.group is None or predictions.get(statement.group[:2]) == statement.group[2]
            for form in statement.thresholds
        ]


def calibrated_stretches(
    scorer: AffineScorer,
    rotation: Rotation,
    partition: SemanticPartition,
    asked: AskedThresholds,
    sinusoids: Sinusoids | None = None,
) -> list[tuple[list[CalibratedStretch], dict[int, Ending]]]:
    """Per change the stretches, and the classes that end them with distance, margin and its error, see `evidence`.

    Args:
        scorer: classifier at the image.
        rotation: of its changes.
        partition: along it.
        asked: thresholds.
        sinusoids: see `stable_pieces`.
    """
    found: list[tuple[list[CalibratedStretch], dict[int, Ending]]] = [([], {}) for _ in range(len(partition))]
    if not any(asked.by_change):
        return found
    stretches = FirstStretches(scorer, rotation, partition, sinusoids)
    reached = stretches.reaches(*(part.to(partition.start.device) for part in asked.tensors))
    whole = (partition.stop - partition.start).abs().tolist()
    ending: dict[tuple[int, int], None] = {}
    for i, (some, *columns) in enumerate(zip(asked.by_change, *(part.T.tolist() for part in reached), strict=True)):
        for one, extent, other in zip(some, *columns, strict=False):  # columns are as long as the longest
            none = one.threshold is None
            found[i][0].append(one.stretch(0.0 if none else extent, whole[i]))
            if other >= 0 and not none:
                ending[i, other] = None
    for (i, other), numbers in stretches.bounds(ending).items():
        found[i][1][other] = numbers
    return found
