"""How far along a semantic change a calibrated threshold on margins reaches.

The stretch runs from the image onwards for as long as the margin of its label over every other class j exceeds
``threshold * unit_j * (1 + growth * sin t)`` at t radians past the image. At threshold 0 it ends where the label first
changes. That is exact about embeddings, and in closed form, for the right side is a sinusoid as the margin is; what a
threshold means for pictures is a matter of calibration, see `statistics.risk`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import ROUNDING, Sinusoids, first_crossing, lows
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_stretch import UNITS, ThresholdUnit
from hrvlm.certificates.kinds.semantic.certify import Extent, along_rotation
from hrvlm.certificates.kinds.semantic.stable_arcs import StablePiece, stable_pieces


@dataclass(frozen=True)
class ThresholdScale:
    """What thresholds are measured in.

    Attributes:
        unit: "weights": the distance of the weights of the label and the other class; "margin": the scores' own unit.
        growth: how much more margin is asked for along the way: a share per radian at the image, above -1.
    """

    unit: ThresholdUnit = "weights"
    growth: float = 0.0

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"expected a unit of thresholds among {', '.join(UNITS)}, got {self.unit!r}")
        if not -1 < self.growth < math.inf:
            raise ValueError(f"expected growth of thresholds above -1 and finite, got {self.growth}")


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
        ValueError: if the threshold is negative or not finite, or shapes do not fit.
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
        sinusoids: see `stable_pieces`.

    Attributes:
        whole: `(N,)` radians that the label holds, in [0, pi]; 0 where nothing is certified.
    """

    def __init__(
        self,
        scorer: AffineScorer,
        rotation: Rotation,
        partition: SemanticPartition,
        sinusoids: Sinusoids | None = None,
    ) -> None:
        self.whole = partition.extent
        self._pieces = list(stable_pieces(scorer, rotation, first_interval(partition), sinusoids))
        self._classes = scorer.first

    def reach(self, threshold: float | Tensor, scale: ThresholdScale) -> tuple[Tensor, Tensor]:
        """Stretches `(N,)`, see `calibrated_extent`, and the class that ends each, -1 where none does."""
        given = torch.as_tensor(threshold, dtype=torch.float64, device=self.whole.device)
        if given.shape not in (torch.Size(()), self.whole.shape) or not bool(((given >= 0) & given.isfinite()).all()):
            low, high = (f"{float(end):g}" for end in given.aminmax()) if given.numel() else ("", "")
            shown = low if given.dim() == 0 else f"{tuple(given.shape)} from {low} to {high}"
            raise ValueError(
                f"expected a finite threshold >= 0, one number or {len(self.whole)} of them, got {shown}: a "
                "calibration gives such numbers"
            )
        given = given.expand_as(self.whole)
        extent, other = torch.zeros_like(given), torch.full(given.shape, -1, device=given.device)
        for piece in self._pieces:
            margin, slack = _asked(piece, given[piece.rows], scale)
            angle, column, blocked = _first_failure(margin, slack)
            whole = self.whole[piece.rows]
            ended = blocked | (angle < whole)
            extent[piece.rows] = torch.where(blocked, 0.0, torch.where(ended, angle, whole))
            other[piece.rows] = torch.where(ended, self._classes[column], -1)
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
            # A picture at the very end lies on the stretch, whichever way the end was rounded.
            kept[piece.rows] = (low > 0) & (at <= piece.length + ROUNDING)
        return kept

    def supremum(self, position: Tensor, scale: ThresholdScale) -> Tensor:
        """The threshold `(N,)` from which on stretches no longer hold positions, radians past the image in [0, pi].

        Up to rounding, for which `keeps` has the last word; 0 or less, down to minus infinity, where not even the
        stretch at threshold 0 holds the position.
        """
        found = torch.full_like(self.whole, -math.inf)
        for piece in self._pieces:
            at = position[piece.rows]
            ratio = _least_ratio(piece, torch.minimum(at, piece.length), scale).amin(dim=1)
            found[piece.rows] = torch.where(at <= piece.length + ROUNDING, ratio, -math.inf)
        return found


def _least_ratio(piece: StablePiece, end: Tensor, scale: ThresholdScale) -> Tensor:
    """Least share `(n, U)`, on [0, end], of each margin in what a threshold of 1 asks of it; infinite for no rival.

    With m the margin less its error, ``m(t) / (1 + g sin t)`` is stationary where ``a sin t - (b - g c) cos t = -g a``.
    """
    cosine, sine, growth = piece.margin.cosine, piece.margin.sine, scale.growth
    offset, end = piece.margin.offset - piece.error, end[:, None]
    tilted = sine - growth * offset
    amplitude = torch.hypot(cosine, tilted)
    turn = (-growth * cosine / torch.where(amplitude > 0, amplitude, 1.0)).clamp(-1, 1).asin()
    phase = torch.atan2(tilted, cosine)
    least = cosine + offset
    for angle in (end.expand_as(least), phase + turn, phase + math.pi - turn):
        inside = torch.minimum(angle.remainder(2 * math.pi), end)  # beyond the end: the end itself once more
        swing = inside.sin()
        value = (cosine * inside.cos() + sine * swing + offset) / (1 + growth * swing)
        least = torch.minimum(least, value)
    finite = piece.distances.isfinite()
    if scale.unit == "weights":
        least = torch.where(least > 0, least / torch.where(finite, piece.distances, 1.0), least)
    return torch.where(finite, least, -piece.distances)


def first_interval(partition: SemanticPartition) -> SemanticPartition:
    """The partition cut off where the image's label first changes."""
    certified = partition.extent > 0
    way = torch.where(partition.stop < partition.start, -1.0, 1.0) * partition.extent
    ends = torch.stack([partition.start, partition.start + way], dim=1)
    return replace(partition, breaks=ends, labels=torch.where(certified, partition.label, -1)[:, None])


def _asked(piece: StablePiece, threshold: Tensor, scale: ThresholdScale) -> tuple[Sinusoids, Tensor]:
    """Margins less the growing part of what thresholds `(n,)` ask of them, and the rest of it, `(n, U)`."""
    finite = piece.distances.isfinite()
    unit = torch.where(finite, piece.distances, 0.0) if scale.unit == "weights" else finite.to(piece.distances)
    asked, margin = threshold[:, None] * unit, piece.margin
    # The label does not compete with itself, but with a duplicate, over which no margin is enough.
    slack = asked + torch.where(finite, 0.0, piece.distances) + piece.error
    return Sinusoids(margin.cosine, margin.sine - scale.growth * asked, margin.offset), slack


def _first_failure(margin: Sinusoids, slack: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where a margin first is no more than its slack, of which class, and whether at once: `(n,)` each."""
    lead = Sinusoids(margin.cosine, margin.sine, margin.offset - slack)
    least, worst = (lead.cosine + lead.offset).min(dim=1)
    angle, column = first_crossing(lead)
    return angle, torch.where(least <= 0, worst, column), least <= 0
