"""How far pictures of a semantic change lie from where certificates of it expect them.

A semantic certificate rotates an image's embedding towards the target prompt ("Semantic Robustness Certification for
Vision-Language Models", Yang et al., ICML 2026, arXiv 2606.18839) and says nothing of pictures. Pulling pictures of
the change onto this rotation in training is our own; the path is the certificates' own function.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hrvlm.certificates.kinds.semantic.path import text_path
from hrvlm.geometry import sphere


def path_misalignment(shown: Tensor, images: Tensor, source: Tensor, target: Tensor, shares: Tensor) -> Tensor:
    """Mean of 1 - cos between pictures of a change and the places on the rotation that stand for them.

    Args:
        shown: `(N, D)` embeddings of the pictures; they alone get a gradient, and only directions matter.
        images: `(N, D)` embeddings of the images themselves, before the change.
        source: `(D,)` or `(N, D)` embedding of the source prompt.
        target: `(D,)` or `(N, D)` embedding of the target prompt.
        shares: `(N,)` of the change that the pictures show, in [0, 1].

    Returns:
        A number in [0, 2], over the pictures whose place is defined; 0 where none is.

    Raises:
        ValueError: If shapes do not fit.
    """
    if not shown.shape == images.shape == (*shares.shape, images.shape[-1]):
        raise ValueError(
            f"expected as many pictures as images and shares, got {tuple(shown.shape)}, {tuple(images.shape)} and "
            f"{tuple(shares.shape)}"
        )
    with torch.no_grad():
        place, defined = text_path(images, source, target, shares)
        place = torch.where(defined[:, None], place, 0.0).to(shown.dtype)
    cosine = (sphere.normalise(shown) * place).sum(dim=-1)
    return torch.where(defined, 1 - cosine, 0.0).sum() / defined.sum().clamp_min(1)
