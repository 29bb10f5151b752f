"""When pictures of a change contradict the claim about an image, as a function of the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_extent import FirstStretches, ThresholdScale
from hrvlm.certificates.kinds.semantic.certify import Extent, along_rotation
from hrvlm.certificates.kinds.semantic.speed import PathSpeed, fit_speed

THRESHOLDS: tuple[float, ...] = (0.0, *map(float, np.geomspace(1e-4, 30.0, 4095)))
"""The grid, fixed before any picture was seen: 0, and steps of a third of a percent.

What a coarser one leaves of the rate that is allowed, claims lack: of a change seen here a percent of it.
"""


@dataclass(frozen=True, eq=False)
class ShownChange:
    """What calibration knows of N images under one scorer along one change.

    Attributes:
        rotation: of the images.
        way: `(N,)` signed radians from each image to the end of its range.
        stretches: where the label of each image leads.
        pictures: `(N, T, D)` embeddings of the pictures of the change.
        shares: `(N, T)` of the change that they show, in [0, 1]; infinite where there is no picture.
        label: `(N,)` what the classifier says of the image; -1 where it has no finite score.
        first: `(N,)` smallest share at which a picture has another label than the image; infinite where none has.
    """

    rotation: Rotation
    way: Tensor
    stretches: FirstStretches
    pictures: Tensor
    shares: Tensor
    label: Tensor
    first: Tensor

    @classmethod
    def of(
        cls,
        scorer: AffineScorer,
        features: Tensor,
        prompts: tuple[Tensor, Tensor],
        pictures: tuple[Tensor, Tensor],
        *,
        labels: Tensor,
        target_extent: Extent = None,
    ) -> ShownChange:
        """Compares the label of each image with those of its pictures.

        Args:
            scorer: classifier.
            features: `(N, D)` embeddings of the images.
            prompts: source and target, see `semantic_partition`.
            pictures: embeddings `(N, T, D)`, and shares `(N, T)` of the change, infinite where there is no picture.
            labels: `(N, T)` what the classifier says of the pictures; -1 where it has no finite score.
            target_extent: see `semantic_partition`.
        """
        rotation = Rotation.tolerant(features, *prompts)
        partition = along_rotation(scorer, rotation, target_extent=target_extent)
        other = (labels != partition.label[:, None]) & pictures[1].isfinite()
        first = torch.where(other, pictures[1], math.inf).amin(dim=1)
        way = partition.stop - partition.start
        return cls(rotation, way, FirstStretches(scorer, rotation, partition), *pictures, partition.label, first)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.first)

    def speed(self) -> PathSpeed:
        """The path's speed, fitted on these images."""
        return fit_speed(self.rotation, self.way, self.pictures, self.shares)

    def critical(self, scale: ThresholdScale, speed: PathSpeed) -> Tensor:
        """`(N,)` position of the first of `THRESHOLDS` at which no picture contradicts the claim; their number if none.

        The loss at threshold g is 1 for g below it, and 0 from it on.
        """
        grid = torch.tensor(THRESHOLDS, dtype=torch.float64, device=self.first.device)
        position = speed.fraction(self.first) * self.way.abs()
        place = torch.searchsorted(grid, self.stretches.supremum(position, scale))
        while True:  # where rounding puts a threshold on the wrong side, `keeps` has the last word
            broken = self.stretches.keeps(grid[place.clamp(max=len(grid) - 1)], position, scale) & (place < len(grid))
            if not bool(broken.any()):
                return place
            place = place + broken.long()

    def violated(self, threshold: float, scale: ThresholdScale, speed: PathSpeed) -> Tensor:
        """`(N,)` whether some picture within an image's claim at a threshold contradicts it."""
        position = speed.fraction(self.first) * self.way.abs()
        return self.stretches.keeps(torch.full_like(position, threshold), position, scale)

    def share(self, threshold: float, scale: ThresholdScale, speed: PathSpeed) -> Tensor:
        """`(N,)` share of the change, in [0, 1], on which an image's label is claimed at a threshold."""
        return claimed_share(self.stretches.reach(threshold, scale)[0], self.way.abs(), speed)


def claimed_share(extent: Tensor, whole: Tensor, speed: PathSpeed) -> Tensor:
    """Share of the change, in [0, 1], that stretches of ranges cover; 0 for none."""
    fraction = torch.where(whole > 0, extent / torch.where(whole > 0, whole, 1.0), 0.0)
    return torch.where(extent > 0, speed.share(fraction).clamp(max=1.0), 0.0)


def share_of(extent: float, whole: float, speed: PathSpeed) -> float:
    """The same of one stretch."""
    return min(1.0, speed.share_of(extent / whole)) if extent > 0 and whole > 0 else 0.0


def violation_counts(critical: Tensor) -> list[int]:
    """How many of some images `(n,)` violate their claim at each of `THRESHOLDS`."""
    found = torch.bincount(critical.cpu(), minlength=len(THRESHOLDS) + 1)
    return (len(critical) - found.cumsum(0))[: len(THRESHOLDS)].tolist()


def worst_of(members: Sequence[Tensor]) -> Tensor:
    """`(N,)` critical positions of the largest loss over statements."""
    return torch.stack(list(members)).amax(dim=0)
