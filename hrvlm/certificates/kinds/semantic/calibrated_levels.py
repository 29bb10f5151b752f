"""The calibrated stretches of all levels along several changes of one image, at several thresholds each.

Stretches are those of `FirstStretches`, which calibration measures over many images; here a compiled loop finds them,
as an image has few changes and a level few classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
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

_PARTS = ("cosine", "sine", "offset")


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
    """M thresholds of N changes at L levels, `(L, N, M)` each."""

    thresholds: NDArray[np.float64]  # >= 0, NaN for none
    weights: NDArray[np.bool_]  # whether they are in units of the weights' distances
    growth: NDArray[np.float64]  # of them, see `ThresholdScale`


class Reaches(NamedTuple):
    """How far labels are claimed along N changes at L levels, at M thresholds."""

    extent: NDArray[np.float64]  # (L, N, M) radians from the image onwards; 0 where no threshold is asked
    places: NDArray[np.int64]  # (L, N, M) place among the classes of all levels of the one that ends it, -1 for none
    classes: NDArray[np.int64]  # of all levels, side by side
    ends: list[list[Ending]]  # of each change at one level after the other: the classes that end some stretch

    @property
    def other(self) -> NDArray[np.int64]:
        """The class `(L, N, M)` that ends each stretch, -1 for none."""
        return np.where(self.places >= 0, self.classes[self.places], -1)


def level_reaches(levels: Sequence[Level], asked: AskedMargins) -> Reaches:
    """The stretches of levels along the same changes, and what ends them.

    The error of an `Ending` is 0 where the difference of the scores is as good as its margin.
    """
    from hrvlm.certificates.embedding.envelope_kernels import failures  # with numba, when it is called for

    scorers = [level.scorer for level in levels]
    first, repeated, crowded = (
        torch.cat([getattr(scorer, name) for scorer in scorers]).cpu().numpy()
        for name in ("first", "repeated", "crowded")
    )
    begins = np.array([0, *accumulate(len(scorer.first) for scorer in scorers)])
    length = torch.stack([level.partition.extent for level in levels]).cpu().numpy()
    label = torch.stack([level.partition.label for level in levels]).cpu().numpy()
    label = np.where(length > 0, label, label.max(axis=1, keepdims=True))  # of nothing, any will do
    parts = [first[begin:end].searchsorted(some) for begin, end, some in zip(begins, begins[1:], label, strict=False)]
    winner = np.stack(parts) + begins[:-1, None]
    close = crowded[winner].any(axis=1)
    waves = ([getattr(level.sinusoids, name) for level in levels] for name in _PARTS)
    cosine, sine, offset = (torch.cat(some, dim=1).cpu().numpy() for some in waves)
    scores, error = (cosine, sine, offset), np.zeros((1, len(first)))
    if close.any():
        error = _set_close_margins(scores, levels, close, begins)
    if (label == label[:, :1]).all():  # as all changes of an image have
        distances = torch.cat(
            [scorer.distances_from(int(part[0])) for scorer, part in zip(scorers, parts, strict=True)]
        )[None]
    else:
        every = zip(scorers, map(torch.from_numpy, parts), strict=True)
        distances = torch.cat([scorer.distances(part) for scorer, part in every], dim=1)
    extent, ended, pairs, numbers = failures(
        scores, begins, winner, repeated[winner], distances.cpu().numpy(), error, length, (*asked,),
        np.where(close, 0.0, ROUNDING),
    )  # fmt: skip
    endings = list(zip(first[pairs[:, 2]].tolist(), *numbers.T.tolist(), strict=True))
    stops = (pairs[:, 0] * length.shape[1] + pairs[:, 1]).searchsorted(np.arange(length.size), side="right").tolist()
    return Reaches(extent, ended, first, [endings[begin:end] for begin, end in pairwise([0, *stops])])


def _set_close_margins(
    scores: Sequence[NDArray[np.float64]],
    levels: Sequence[Level],
    close: NDArray[np.bool_],
    begins: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Takes the label's from scores `(N, K)`, by `_PARTS`, of levels where it has close classes.

    There scores tell too little of the margins, whose errors `(N, K)` are returned.
    """
    error = np.zeros(scores[0].shape)
    for place in close.nonzero()[0].tolist():
        level, part = levels[place], slice(begins[place], begins[place + 1])
        pieces = stable_pieces(level.scorer, level.rotation, first_interval(level.partition), level.sinusoids)
        for piece in pieces:
            rows = piece.rows.cpu().numpy()
            for found, name in zip(scores, _PARTS, strict=True):
                found[rows, part] = -getattr(piece.margin, name).cpu().numpy()
            error[rows, part] = piece.error.cpu().numpy()
    return error
