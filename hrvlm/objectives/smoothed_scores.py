"""What a smoothed classifier answers, as scores: logarithms of probabilities averaged over copies under noise.

Source: "Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers", Salman et al., NeurIPS 2019
(arXiv 1906.04584), equation 5: −log (1/m) Σ_i softmax_y F(x + δ + ση_i), which is the cross-entropy of such scores. Any
other loss of scores takes them as well. One copy's scores are its logits, so that plain losses stay to the last bit.

Shapes: R rows, m copies of each under noises of their own, T nodes of a tree, K leaves.
"""

from __future__ import annotations

import torch
from torch import Tensor


def smoothed_scores(logits: Tensor, candidates: Tensor | None = None) -> Tensor:
    """Logarithms of mean probabilities, up to a number for each row: `(R, T)`; −inf for what is no candidate.

    Args:
        logits: `(R, m, T)`.
        candidates: Bool `(R, T)`, what the softmax of a row runs over; all if not given.
    """
    if candidates is not None:
        logits = torch.where(candidates[:, None], logits, float("-inf"))
    if logits.shape[1] == 1:
        return logits[:, 0]
    logarithms = logits.log_softmax(-1)
    if candidates is None:
        return logarithms.logsumexp(1)
    found = torch.where(candidates[:, None], logarithms, 0.0).logsumexp(1)  # a sum of −inf alone has no gradient
    return torch.where(candidates, found, float("-inf"))


def summed_scores(logits: Tensor, under: Tensor) -> Tensor:
    """Logarithms of mean probabilities that one of the leaves under a node is the answer, `(R, T)`.

    Args:
        logits: Of all leaves, `(R, m, K)`.
        under: Bool `(T, K)`, the leaves under each node.
    """
    found: Tensor = logits.softmax(-1).mean(1) @ under.mT.to(logits.dtype)
    return found.clamp_min(torch.finfo(found.dtype).tiny).log()
