"""The calibrated stretches of one image's changes, and the classes that end them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.attributes import Attribute
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_extent import FirstStretches, ThresholdScale
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


def asked_of(
    calibration: Calibration,
    changes: Sequence[Attribute],
    scorer: str,
    level: tuple[str, int],
    predictions: Mapping[tuple[str, int], int],
) -> list[Asked]:
    """The thresholds that hold of an image at one level, those of its own groups alone.

    Args:
        calibration: of the model.
        changes: of the image.
        scorer: kind of the scorer.
        level: tree and level.
        predictions: class of the image by tree and level.
    """
    return [
        Asked(statement, form, i)
        for i, change in enumerate(changes)
        for statement in calibration.of(change.name, change.target_kind, scorer, *level)
        if statement.group is None or predictions.get(statement.group[:2]) == statement.group[2]
        for form in statement.thresholds
    ]


def calibrated_stretches(
    scorer: AffineScorer, rotation: Rotation, partition: SemanticPartition, asked: Sequence[Asked]
) -> list[tuple[list[CalibratedStretch], dict[int, Any]]]:
    """Per change the stretches, and the classes that end them with distance, margin and its error, see `evidence`.

    Args:
        scorer: classifier at the image.
        rotation: of its changes.
        partition: along it.
        asked: thresholds.
    """
    stretches = FirstStretches(scorer, rotation, partition)
    whole = (partition.stop - partition.start).abs().tolist()
    found: list[tuple[list[CalibratedStretch], dict[int, Any]]] = [([], {}) for _ in range(len(partition))]
    for one, extent, other in _reached(stretches, asked, len(partition)):
        s, (stated, ends) = one.statement, found[one.change]
        share = share_of(extent, whole[one.change], s.speed)
        scale = (s.scale.unit, s.scale.growth)
        stated.append(CalibratedStretch(s.over, s.group, s.epsilon, one.form, *scale, one.threshold, extent, share))
        if other >= 0:
            ends[other] = stretches.bound(one.change, other)
    return found


def _reached(stretches: FirstStretches, asked: Sequence[Asked], count: int) -> list[tuple[Asked, float, int]]:
    """How far each threshold leads, and the class that ends it, -1 where none does."""
    by_change: list[list[Asked]] = [[] for _ in range(count)]
    for one in asked:
        by_change[one.change].append(one)
    most = max(map(len, by_change), default=0)
    if not most:
        return []
    thresholds = torch.zeros(most, count, dtype=torch.float64, device=stretches.whole.device)
    scales = [[ThresholdScale()] * count for _ in range(most)]
    for i, some in enumerate(by_change):
        for m, one in enumerate(some):
            thresholds[m, i] = 0.0 if one.threshold is None else one.threshold
            scales[m][i] = one.statement.scale
    extents, others = (part.tolist() for part in stretches.reaches(thresholds, scales))
    return [
        (one, 0.0, -1) if one.threshold is None else (one, extents[m][i], others[m][i])
        for i, some in enumerate(by_change)
        for m, one in enumerate(some)
    ]
