"""Image-text contrastive pretraining with structured captions (Radford et al., 2021, arXiv 2103.00020, section 2.3).

Captions here name a class or superclass and some attributes, so one caption may be true of several images of a batch.
Such pairs are left out of the softmax: a true caption is never a negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def caption_truth(covers: Tensor, values: Tensor, stated: Tensor) -> Tensor:
    """Which captions of a batch are true of which images.

    Args:
        covers: bool (N, M), whether caption j's class or superclass contains image i's class.
        values: (N, A), attribute values of the images.
        stated: (M, A), attribute values that the captions state; negative where a caption is silent.

    Returns:
        bool (N, M).
    """
    agrees = (stated[None] < 0) | (stated[None] == values[:, None])
    return covers & agrees.all(dim=-1)


def contrastive_loss(image_features: Tensor, text_features: Tensor, logit_scale: Tensor, truth: Tensor) -> Tensor:
    """Symmetric softmax loss in which image i belongs to caption i; further captions are negatives only.

    Args:
        image_features: Unit norm, (N, D).
        text_features: Unit norm, (M, D), M >= N.
        logit_scale: Inverse temperature.
        truth: bool (N, M) of `caption_truth`; true pairs off the diagonal are left out.

    Returns:
        Scalar.
    """
    logits = logit_scale * image_features @ text_features.T
    own = torch.eye(*logits.shape, dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(truth & ~own, float("-inf"))
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, : len(logits)].T, target)) / 2


def prompt_losses(
    image_features: Tensor, text_features: Sequence[Tensor], logit_scale: Tensor, targets: Sequence[Tensor]
) -> list[Tensor]:
    """Cross-entropy of images against the prompts of all classes, level by level.

    Args:
        image_features: Unit norm, (N, D).
        text_features: Per level, unit norm, (K_level, D).
        logit_scale: Inverse temperature.
        targets: Per level, class of each image there, (N,).

    Returns:
        A scalar per level.
    """
    return [
        F.cross_entropy(logit_scale * image_features @ texts.T, target)
        for texts, target in zip(text_features, targets, strict=True)
    ]
