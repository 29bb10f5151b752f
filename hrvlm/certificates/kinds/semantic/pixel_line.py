"""The pixel line: a baseline that mixes two pictures. It is sampled, and certifies nothing.

Between two samples anything may happen, so the result states shares of samples and says so in `certified`. The line in
embedding space, which is exact, is `embedding_line`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SampledLine:
    """Predictions at evenly spaced points of lines between pictures.

    Attributes:
        labels: `(N, T)` predictions, from the picture to its reference.
        invariance: `(N,)` share of the line with the prediction of the picture, by the trapezoidal rule over samples.
        certified: False: nothing is known between samples.
    """

    labels: Tensor
    invariance: Tensor
    certified: bool = False


def sampled_invariance(labels: Tensor) -> Tensor:
    """Share `(N,)` of an evenly sampled path that keeps its first label, by the trapezoidal rule.

    Args:
        labels: `(N, T)` labels at T >= 2 samples, ends included.
    """
    same = (labels == labels[:, :1]).double()
    weight = torch.ones_like(same)
    weight[:, 0] = weight[:, -1] = 0.5
    return (same * weight).sum(dim=1) / (labels.shape[1] - 1)


def pixel_line(
    predict: Callable[[Tensor], Tensor], images: Tensor, references: Tensor, *, samples: int = 17
) -> SampledLine:
    """Classify the pictures `(1 - t) image + t reference` at evenly spaced t in [0, 1].

    Args:
        predict: Labels `(M,)` of pictures `(M, 3, H, W)`.
        images: `(N, 3, H, W)` in [0, 1].
        references: `(N, 3, H, W)` pictures that show the target.
        samples: Number of points on each line, at least 2.

    Raises:
        ValueError: If there are fewer than two samples, or the shapes differ.
    """
    if samples < 2:
        raise ValueError(f"expected samples >= 2, got {samples}: a line has two ends")
    if images.shape != references.shape:
        raise ValueError(f"expected references of shape {tuple(images.shape)}, got {tuple(references.shape)}")
    shares = torch.linspace(0, 1, samples, dtype=images.dtype, device=images.device)
    labels = torch.stack([predict(torch.lerp(images, references, share)) for share in shares], dim=1)
    return SampledLine(labels, sampled_invariance(labels))
