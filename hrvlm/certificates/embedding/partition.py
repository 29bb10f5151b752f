"""The result of a semantic partition: prediction-invariant intervals, and why there may be none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.certificates.embedding.reasons import Reason

_CHUNK = 2**17  # scores held at once: enough to hide the overhead of calls, little enough to stay in a cache


@dataclass(frozen=True, eq=False)
class SemanticPartition:
    """Prediction-invariant intervals of N images along one attribute. Never NaN.

    Attributes:
        start: `(N,)` angle of the image in the plane, radians in (-pi, pi].
        stop: `(N,)` target extent, unwrapped so that |stop - start| <= pi; below start when the shorter way is back.
        label: `(N,)` prediction at the image; -1 where scores are not finite.
        invariance: `(N,)` share of the range, in [0, 1], with the prediction of the image; 0 if nothing is certified.
        extent: `(N,)` radians from the image along the range to its first change of prediction, in [0, pi].
        smallest_margin: `(N,)` smallest margin of the winner at interval midpoints, in score units: 0 where the winner
            has an identical duplicate, inf for a single class, and 0 where nothing is certified.
        breaks: `(N, F + 1)` radians, from start to stop, padded with stop.
        labels: `(N, F)` label between two breaks, padded with -1.
        reasons: per image None or a `Reason` (a string).
    """

    start: Tensor
    stop: Tensor
    label: Tensor
    invariance: Tensor
    extent: Tensor
    smallest_margin: Tensor
    breaks: Tensor
    labels: Tensor
    reasons: tuple[Reason | None, ...]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.reasons)

    @property
    def direction(self) -> Tensor:
        """`(N,)` +1 where angles grow along the way, -1 where they fall."""
        return torch.where(self.stop < self.start, -1.0, 1.0).to(self.start)

    def intervals(self, i: int) -> list[tuple[float, float, int]]:
        """Maximal intervals (from, to, label) of image i in radians, one after another; [] if nothing is certified."""
        breaks, labels = self.breaks[i].tolist(), self.labels[i].tolist()
        pieces = [(a, b, k) for a, b, k in zip(breaks, breaks[1:], labels, strict=False) if k >= 0]
        merged: list[tuple[float, float, int]] = []
        for a, b, k in [piece for piece in pieces if piece[0] != piece[1]] or pieces[:1]:
            if merged and merged[-1][2] == k:  # a label that held at one point only stood between
                merged[-1] = (merged[-1][0], b, k)
            else:
                merged.append((a, b, k))
        return merged


def certified_mask(reasons: tuple[Reason | None, ...], like: Tensor) -> Tensor:
    """`(N,)` True where something is certified, on the device of `like`."""
    return torch.tensor([why is None or why.certifies for why in reasons], dtype=torch.bool, device=like.device)


def chunks(num_images: int, num_classes: int) -> Iterator[slice]:
    """Slices over the images, at least one, each small enough for its scores to fit in memory several times."""
    size = max(1, _CHUNK // num_classes)
    for begin in range(0, max(1, num_images), size):
        yield slice(begin, begin + size)
