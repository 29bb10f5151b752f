"""How far along a semantic change a calibrated threshold on margins reaches.

The stretch runs from the image onwards for as long as the margin of its label over every other class j exceeds
``threshold * unit_j * (1 + growth * sin t)`` at t radians past the image. At threshold 0 it ends where the label first
changes. That is exact about embeddings, and in closed form, for the right side is a sinusoid as the margin is; what a
threshold means for pictures is a matter of calibration, see `statistics.risk`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import ROUNDING, Sinusoids, first_crossing, lows
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_stretch import UNITS, ThresholdUnit
from hrvlm.certificates.kinds.semantic.certify import Extent, along_rotation
from hrvlm.certificates.kinds.semantic.stable_arcs import StablePiece, stable_pieces

Ending: TypeAlias = tuple[float, tuple[float, float, float], float]
"""Distance of a class from an image's label, the label's margin over it, and the error of that."""


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
        self._pieces = list(stable_pieces(scorer, rotation, _first(partition), sinusoids))
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
        row = given.expand_as(self.whole)[None]
        weights = torch.full_like(row, scale.unit == "weights", dtype=torch.bool)
        extent, other = self.reaches(row, weights, torch.full_like(row, scale.growth))
        return extent[0], other[0]

    def reaches(self, thresholds: Tensor, weights: Tensor, growth: Tensor) -> tuple[Tensor, Tensor]:
        """The same for M thresholds of each image at once: all of shape `(M, N)`.

        Args:
            thresholds: >= 0.
            weights: whether they are in units of the weights' distances.
            growth: of them.
        """
        extent, other = torch.zeros_like(thresholds), torch.full(thresholds.shape, -1, device=growth.device)
        for piece in self._pieces:
            rows, classes = piece.rows, self._classes
            asked = (thresholds[:, rows], weights[:, rows], growth[:, rows])
            if len(thresholds) > 1:
                columns = _ending(piece, *asked)
                piece, classes = piece.columns(columns), classes[columns]
            margin, slack = _asked(piece, *asked)
            angle, column, blocked = (part.view(len(thresholds), -1) for part in _first_failure(margin, slack))
            whole = self.whole[rows]
            ended = blocked | (angle < whole)
            extent[:, rows] = torch.where(blocked, 0.0, torch.where(ended, angle, whole))
            other[:, rows] = torch.where(ended, classes[column], -1)
        return extent, other

    def bounds(self, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], Ending]:
        """Per image and class: distance of its weight from that of the image's label, margin, and error of its values.

        The margin is ``a cos t + b sin t + c`` at t radians past the image; the error is 0 where the difference of the
        scores is as good.
        """
        found: dict[tuple[int, int], Ending] = {}
        for piece in self._pieces:
            places = {i: row for row, i in enumerate(piece.rows.tolist())}
            here = [pair for pair in pairs if pair[0] in places]
            rows = [places[i] for i, _ in here]
            columns = torch.searchsorted(self._classes, self._classes.new_tensor([other for _, other in here]))
            parts = (piece.distances, piece.margin.cosine, piece.margin.sine, piece.margin.offset, piece.error)
            numbers = torch.stack([part[rows, columns] for part in parts], dim=1).tolist()
            for pair, (distance, cosine, sine, offset, error) in zip(here, numbers, strict=True):
                found[pair] = (distance if math.isfinite(distance) else 0.0, (cosine, sine, offset), error)
        return found

    def keeps(self, threshold: Tensor, position: Tensor, scale: ThresholdScale) -> Tensor:
        """Whether the stretches at thresholds `(N,)` hold positions `(N,)`, radians past the image in [0, pi].

        The same as a comparison with `reach`, and cheaper.
        """
        kept = torch.zeros_like(self.whole, dtype=torch.bool)
        for piece in self._pieces:
            growth = torch.full_like(threshold[piece.rows], scale.growth)[None]
            weights = torch.full_like(growth, scale.unit == "weights", dtype=torch.bool)
            margin, slack = _asked(piece, threshold[piece.rows][None], weights, growth)
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


def _ending(piece: StablePiece, threshold: Tensor, weights: Tensor, growth: Tensor) -> Tensor:
    """Positions of the classes that may end the stretch of some image at some of M thresholds `(M, n)`."""
    most = threshold * (1 + growth.clamp(min=0))
    return piece.near(*(torch.where(mask, most, 0.0).amax(dim=0)[:, None] for mask in (weights, ~weights)))


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


def _first(partition: SemanticPartition) -> SemanticPartition:
    """The partition cut off where the image's label first changes."""
    certified = partition.extent > 0
    way = torch.where(partition.stop < partition.start, -1.0, 1.0) * partition.extent
    ends = torch.stack([partition.start, partition.start + way], dim=1)
    return replace(partition, breaks=ends, labels=torch.where(certified, partition.label, -1)[:, None])


def _asked(piece: StablePiece, threshold: Tensor, weights: Tensor, growth: Tensor) -> tuple[Sinusoids, Tensor]:
    """Margins less the growing part of what M thresholds `(M, n)` ask of them, and the rest of it, `(M * n, U)`."""
    finite = piece.distances.isfinite()
    unit = torch.where(weights[:, :, None], torch.where(finite, piece.distances, 0.0), finite.double())
    asked, margin = threshold[:, :, None] * unit, piece.margin
    # The label does not compete with itself, but with a duplicate, over which no margin is enough.
    slack = asked + torch.where(finite, 0.0, piece.distances) + piece.error
    sine = margin.sine - growth[:, :, None] * asked
    parts = (part.expand_as(asked).flatten(0, 1) for part in (margin.cosine, sine, margin.offset))
    return Sinusoids(*parts), slack.flatten(0, 1)


def _first_failure(margin: Sinusoids, slack: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where a margin first is no more than its slack, of which class, and whether at once: `(m,)` each."""
    lead = Sinusoids(margin.cosine, margin.sine, margin.offset - slack)
    least, worst = (lead.cosine + lead.offset).min(dim=1)
    angle, column = first_crossing(lead)
    return angle, torch.where(least <= 0, worst, column), least <= 0
