"""Cross-entropies of what a smoothed classifier answers: probabilities are averaged over copies before the logarithm.

Source: "Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers", Salman et al., NeurIPS 2019
(arXiv 1906.04584), equation 5: −log (1/m) Σ_i softmax_y F(x + δ + ση_i), here of any node of a class tree. One copy
gives the plain cross-entropy, to the last bit.

Shapes: R rows, m copies of each under noises of their own, T nodes, K leaves.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def averaged(losses: Tensor) -> Tensor:
    """−log of mean probabilities `(...)` from −logs of each copy's `(..., m)`."""
    return math.log(losses.shape[-1]) - (-losses).logsumexp(-1)


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, candidates: Tensor | None = None) -> Tensor:
    """−log of each row's mean probability of its target `(R,)`.

    Args:
        logits: `(R, m, T)`.
        targets: `(R,)`.
        candidates: Bool `(R, T)`, what the softmax of a row runs over, its target included; all if not given.
    """
    copies = logits.shape[1]
    if candidates is not None:
        logits = torch.where(candidates[:, None], logits, float("-inf"))
    losses = F.cross_entropy(logits.flatten(0, 1), targets.repeat_interleave(copies), reduction="none")
    return averaged(losses.unflatten(0, (-1, copies)))


def summed_cross_entropy(logits: Tensor, members: Tensor) -> Tensor:
    """−log of each row's mean probability `(R,)` that one of some leaves is the answer.

    Args:
        logits: Of all leaves, `(R, m, K)`.
        members: Bool `(R, K)`, the leaves that are summed over, at least one for each row.
    """
    shares = torch.where(members[:, None], logits.log_softmax(-1), float("-inf"))
    return averaged(-shares.logsumexp(-1))
