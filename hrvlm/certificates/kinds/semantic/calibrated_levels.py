"""The calibrated stretches of a level along several changes of one image, at several thresholds each.

Stretches are those of `FirstStretches`, which calibration measures over many images; here a compiled loop finds them,
as an image has few changes and a level few classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hrvlm.certificates.embedding.affine import AffineScorer
from hrvlm.certificates.embedding.envelope import ROUNDING, Sinusoids
from hrvlm.certificates.embedding.partition import SemanticPartition
from hrvlm.certificates.embedding.rotation import Rotation
from hrvlm.certificates.kinds.semantic.calibrated_extent import first_interval
from hrvlm.certificates.kinds.semantic.calibrated_stretch import Ending
from hrvlm.certificates.kinds.semantic.certify import Extent
from hrvlm.certificates.kinds.semantic.stable_arcs import stable_pieces


@dataclass(frozen=True, eq=False)
class Level:
    """One level along N changes.

    Attributes:
        scorer: of the image.
        rotation: of the changes.
        extent: of their targets.
        partition: along them.
        sinusoids: scores `(N, U)`.
    """

    scorer: AffineScorer
    rotation: Rotation
    extent: Extent
    partition: SemanticPartition
    sinusoids: Sinusoids


class AskedMargins(NamedTuple):
    """M thresholds of N changes at a level, `(M, N)` each."""

    thresholds: NDArray[np.float64]  # >= 0, NaN for none
    weights: NDArray[np.bool_]  # whether they are in units of the weights' distances
    growth: NDArray[np.float64]  # of them, see `ThresholdScale`


class Reaches(NamedTuple):
    """How far a label is claimed along N changes, at M thresholds."""

    extent: NDArray[np.float64]  # (M, N) radians from the image onwards; 0 where no threshold is asked
    places: NDArray[np.int64]  # (M, N) place among the classes of the one that ends it, -1 for none
    classes: NDArray[np.int64]  # (U,)
    ends: list[dict[int, Ending]]  # N times the classes that end some stretch, with what is known of them

    @property
    def other(self) -> NDArray[np.int64]:
        """The class `(M, N)` that ends each stretch, -1 for none."""
        return np.where(self.places >= 0, self.classes[self.places], -1)


def level_reaches(level: Level, asked: AskedMargins) -> Reaches:
    """The stretches of a level, and what ends them.

    The margin over the class of an `Ending` is ``a cos t + b sin t + c`` at t radians past the image; the error of its
    values is 0 where the difference of the scores is as good.
    """
    from hrvlm.certificates.embedding.envelope_kernels import failures  # with numba, when it is called for

    scorer, partition = level.scorer, level.partition
    first, repeated, crowded = (part.cpu().numpy() for part in (scorer.first, scorer.repeated, scorer.crowded))
    winner = first.searchsorted(partition.label.cpu().numpy())
    waves, error, rounding = level.sinusoids, np.zeros(level.sinusoids.cosine.shape), ROUNDING
    if crowded[winner].any():
        waves, error, rounding = *_close_margins(level), 0.0
    cosine, sine, offset = (part.contiguous().cpu().numpy() for part in (waves.cosine, waves.sine, waves.offset))
    distances = scorer.distances(torch.from_numpy(winner)).contiguous().cpu().numpy()
    length = partition.extent.cpu().numpy()
    extent, ended, rows, places, numbers = failures(
        (cosine, sine, offset), winner, repeated[winner], distances, error, length, (*asked,), rounding
    )
    ends: list[dict[int, Ending]] = [{} for _ in winner]
    for row, other, (a, b, c, slack, far) in zip(rows.tolist(), first[places].tolist(), numbers.tolist(), strict=True):
        ends[row][other] = far, (a, b, c), slack
    return Reaches(extent, ended, first, ends)


def _close_margins(level: Level) -> tuple[Sinusoids, NDArray[np.float64]]:
    """Scores less the label's, and errors of the margins: where the label has close classes scores tell too little."""
    shape = level.sinusoids.cosine.shape
    scores, error = np.zeros((3, *shape)), np.zeros(shape)
    for piece in stable_pieces(level.scorer, level.rotation, first_interval(level.partition), level.sinusoids):
        rows, margin = piece.rows.cpu().numpy(), piece.margin
        scores[:, rows] = -torch.stack([margin.cosine, margin.sine, margin.offset]).cpu().numpy()
        error[rows] = piece.error.cpu().numpy()
    return Sinusoids(*torch.from_numpy(scores)), error
