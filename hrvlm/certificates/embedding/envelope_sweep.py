"""A sweep along the upper envelope of sinusoids: from winner to winner.

A class that the first winner beats over the whole range can win nowhere in it. One pass over all K classes computes
the first winner's smallest margin over each, which leaves the few rivals that overtake it somewhere, and the sweep goes
on among these alone: O(K + C F) for C rivals and F label changes, instead of the O(K^2) pairs.

Every interval is verified in closed form: the minimum over it of the winner's margin over each class must not lie below
zero by more than rounding; for classes that are no rivals this follows from the first winner's margin over them. An
interval that fails is not certified.

Each image takes its own number of steps at its own angles, so the sweep is a compiled loop on the CPU, image by image:
the scores of one fit the processor's nearest cache.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hrvlm.certificates.embedding.envelope import ROUNDING, Sinusoids
from hrvlm.certificates.embedding.sweeps import EnvelopeSweep


def sweep_envelope(sinusoids: Sinusoids, label: Tensor, length: Tensor) -> EnvelopeSweep:
    """EnvelopeSweep the upper envelope from angle 0 to `length`.

    Args:
        sinusoids: scores of N images and K classes; where one is not finite, or all are so small or large that their
            squares are not numbers, nothing is verified.
        label: `(N,)` winner at angle 0.
        length: `(N,)` angles to travel, in [0, pi].

    Returns:
        The intervals; two sinusoids cross at most twice, so there are at most 2K - 1 of them, and a sweep that is
        not finished by then (rounding at a many-fold tie) is returned as not verified.
    """
    from hrvlm.certificates.embedding.envelope_kernels import walks  # with numba, when it is called for

    shape = sinusoids.cosine.shape
    if not (sinusoids.sine.shape == sinusoids.offset.shape == shape and label.shape == length.shape == shape[:1]):
        raise ValueError(f"expected sinusoids (N, K), labels and lengths (N,), got sinusoids {tuple(shape)}")
    if label.numel() and not 0 <= int(label.min()) <= int(label.max()) < shape[1]:
        raise ValueError(f"expected labels in [0, {shape[1]}), got {int(label.min())} to {int(label.max())}")
    cosine, sine, offset, way = (
        part.detach().double().contiguous().cpu().numpy()
        for part in (sinusoids.cosine, sinusoids.sine, sinusoids.offset, length)
    )
    found = walks(cosine, sine, offset, label.cpu().numpy(), way, ROUNDING)
    ends, winners, count, smallest, verified, told = found
    device, width = length.device, int(count.max(initial=1))
    real = torch.from_numpy(np.arange(width) < count[:, None]).to(device)
    labels = label.new_full(real.shape, -1).masked_scatter_(real, torch.from_numpy(winners).to(device))
    breaks = length[:, None].repeat(1, width + 1)
    breaks[:, 1:].masked_scatter_(real, torch.from_numpy(ends).to(breaks))
    breaks[:, 0] = 0.0
    return EnvelopeSweep(breaks, labels, *(torch.from_numpy(part).to(device) for part in (smallest, verified, told)))
