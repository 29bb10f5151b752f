"""How far along a semantic change a calibrated threshold on margins reaches.

The stretch runs from the image onwards for as long as the margin of its label over every other class j exceeds
``threshold * unit_j * (1 + growth * sin t)`` at t radians past the image. At threshold 0 it ends where the label first
changes. That is exact about embeddings, and in closed form, for the right side is a sinusoid as the margin is; what a
threshold means for pictures is a matter of calibration, see `statistics.risk`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import Sinusoids, lows
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.certify import Extent, along_rotation
from hrvlm.certificates.kinds.semantic.stable_arcs import StablePiece, failing_arcs, stable_pieces

ThresholdUnit = Literal["weights", "margin"]
"""Distances of the classes' weights, in which a threshold is a misalignment; or margins themselves."""
UNITS: tuple[ThresholdUnit, ...] = get_args(ThresholdUnit)


@dataclass(frozen=True)
class ThresholdScale:
    """What thresholds are measured in.

    Attributes:
        unit: "weights": the distance of the weights of the label and the other class; "margin": the scores' own unit.
        growth: how much more margin is asked for along the way: a share per radian at the image, at least 0.
    """

    unit: ThresholdUnit = "weights"
    growth: float = 0.0

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"expected a unit of thresholds among {', '.join(UNITS)}, got {self.unit!r}")
        if not 0 <= self.growth < math.inf:
            raise ValueError(f"expected growth of thresholds >= 0 and finite, got {self.growth}")


def calibrated_extent(
    scorer: AffineScorer,
    features: Tensor,
    source: Tensor,
    target: Tensor,
    threshold: float | Tensor,
    *,
    target_extent: Extent = None,
    scale: ThresholdScale | None = None,
) -> Tensor:
    """The stretch from each image onwards on which its label keeps more than a threshold of margin over every class.

    Args:
        scorer: classifier.
        features: `(N, D)` embeddings.
        source: `(D,)` or `(N, D)` embedding of the source prompt.
        target: `(D,)` or `(N, D)` embedding of the target prompt.
        threshold: number, or `(N,)`, >= 0; in units of ``||w_y - w_j||``, y being the label, unless `scale` says other.
        target_extent: as in `semantic_partition`.
        scale: what the threshold is measured in.

    Returns:
        `(N,)` radians in [0, pi], at most the length of the range, not growing with the threshold; 0 where nothing is
        certified, or the image itself has no more margin than the threshold.

    Raises:
        ValueError: if the threshold is negative or not a number, or shapes do not fit.
    """
    scorer.check_points(features)
    rotation = Rotation.tolerant(features, source, target)
    stretches = FirstStretches(scorer, rotation, along_rotation(scorer, rotation, target_extent=target_extent))
    return stretches.reach(threshold, scale or ThresholdScale())[0]


class FirstStretches:
    """The margins of each image's own label from the image to where it first changes.

    Args:
        scorer: classifier.
        rotation: of the images.
        partition: along it.

    Attributes:
        whole: `(N,)` radians that the label holds, in [0, pi]; 0 where nothing is certified.
    """

    def __init__(self, scorer: AffineScorer, rotation: Rotation, partition: SemanticPartition) -> None:
        self.whole = partition.extent
        self._pieces = list(stable_pieces(scorer, rotation, _first(partition)))
        self._classes = scorer.first

    def reach(self, threshold: float | Tensor, scale: ThresholdScale) -> tuple[Tensor, Tensor]:
        """Stretches `(N,)`, see `calibrated_extent`, and the class that ends each, -1 where none does."""
        given = torch.as_tensor(threshold, dtype=torch.float64, device=self.whole.device)
        if given.shape not in (torch.Size(()), self.whole.shape) or not bool((given >= 0).all()):
            shown = f"{float(given):g}" if given.dim() == 0 else f"{tuple(given.shape)}, least {float(given.min()):g}"
            raise ValueError(
                f"expected a threshold >= 0, one number or {len(self.whole)} of them, got {shown}: a calibration gives "
                "such numbers"
            )
        given = given.expand_as(self.whole)
        extent, other = torch.zeros_like(self.whole), torch.full_like(self._classes[:1], -1).repeat(len(self.whole))
        for piece in self._pieces:
            found, column = _reach(piece, given[piece.rows], scale)
            whole = self.whole[piece.rows]  # of which the length of a piece is a difference of angles
            extent[piece.rows] = torch.where(column >= 0, torch.minimum(found, whole), whole)
            other[piece.rows] = torch.where(column >= 0, self._classes[column.clamp(min=0)], -1)
        return extent, other

    def keeps(self, threshold: Tensor, position: Tensor, scale: ThresholdScale) -> Tensor:
        """Whether the stretches at thresholds `(N,)` hold positions `(N,)`, radians past the image in [0, pi].

        The same as a comparison with `reach`, and cheaper.
        """
        kept = torch.zeros_like(self.whole, dtype=torch.bool)
        for piece in self._pieces:
            margin, slack = _asked(piece, threshold[piece.rows], scale)
            at = position[piece.rows]
            low = (lows(margin, torch.minimum(at, piece.length)) - slack).amin(dim=1)
            kept[piece.rows] = (low > 0) & (at <= piece.length)
        return kept


def _first(partition: SemanticPartition) -> SemanticPartition:
    """The partition cut off where the image's label first changes."""
    certified = partition.extent > 0
    way = torch.where(partition.stop < partition.start, -1.0, 1.0) * partition.extent
    ends = torch.stack([partition.start, partition.start + way], dim=1)
    return replace(partition, breaks=ends, labels=torch.where(certified, partition.label, -1)[:, None])


def _asked(piece: StablePiece, threshold: Tensor, scale: ThresholdScale) -> tuple[Sinusoids, Tensor]:
    """Margins less the growing part of what is asked of them, and the rest of it `(n, U)`."""
    unit = piece.distances if scale.unit == "weights" else torch.ones_like(piece.distances)
    asked = threshold[:, None] * torch.where(piece.distances.isfinite(), unit, 0.0)
    margin = piece.margin
    if scale.growth:
        margin = Sinusoids(margin.cosine, margin.sine - scale.growth * asked, margin.offset)
    # The label does not compete with itself, but with a duplicate, over which no margin is enough.
    return margin, torch.where(piece.distances.isfinite(), asked, piece.distances) + piece.error


def _reach(piece: StablePiece, threshold: Tensor, scale: ThresholdScale) -> tuple[Tensor, Tensor]:
    """Stretches `(n,)` of a piece, and the columns of the classes that end them, -1 where none does."""
    margin, slack = _asked(piece, threshold, scale)
    low, high, column = failing_arcs(margin, slack, piece.length)
    low = torch.where(high > low, low, math.inf)
    end, place = low.min(dim=1)
    lack = slack - margin.cosine - margin.offset
    worst, at_once = lack.max(dim=1)
    blocked = worst >= 0
    other = torch.where(end < piece.length, column.gather(1, place[:, None]).squeeze(1), -1)
    return torch.where(blocked, 0.0, torch.minimum(end, piece.length)), torch.where(blocked, at_once, other)
