"""Attacks on classifiers whose scores may be no numbers: such a score is wrong whatever the label, so it is found."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hrvlm.attacks.gradients import NonFiniteError


def seeking(run: Callable[[Tensor, Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """Runs an attack; a perturbed image whose scores are not finite ends it, for that image, as its result.

    Where this happens in a batch its halves are attacked apart, so that the other images are attacked in full.

    Args:
        run: Maps images and labels to perturbed images.
        images: (N, 3, H, W).
        labels: (N,).

    Raises:
        NonFiniteError: If a gradient is NaN or infinite while scores are not: the attack then says nothing.
    """
    try:
        return run(images, labels)
    except NonFiniteError as error:
        if error.what not in ("score", "loss") or (len(images) == 1 and error.images.shape != images.shape):
            raise
        if len(images) == 1:
            return error.images
    half = len(images) // 2
    return torch.cat([seeking(run, images[:half], labels[:half]), seeking(run, images[half:], labels[half:])])
