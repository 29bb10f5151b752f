"""Label smoothing over a tree: some of a target's probability goes to other nodes of its level, the more the nearer.

Sources: label smoothing, Szegedy et al., CVPR 2016 (arXiv 1512.00567); soft labels by the height of the lowest common
ancestor, "Making Better Mistakes", Bertinetto et al., CVPR 2020 (arXiv 1912.09393). Its e^(−β·height) is `decay`^height
here; the target's own share is set apart, so that it does not depend on the tree.

Shapes: T nodes of a tree (all levels, leaves first), K leaves, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hrvlm.trees import ClassTree, Forest


@dataclass(frozen=True, kw_only=True)
class SoftTargets:
    """How much probability targets give away, and to whom.

    What is ascended keeps hard targets: an attacker aims at the class itself.

    Attributes:
        smoothing: Share in [0, 1) of a target's probability that the other nodes of its level get.
        decay: In (0, 1]: each level further up to the lowest common ancestor divides a node's part of that share by
            1/decay. 1 gives all others alike, as plain label smoothing does.

    Raises:
        ValueError: If a number is out of range.
    """

    smoothing: float = 0.1
    decay: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.smoothing < 1.0:
            raise ValueError(f"expected smoothing in [0, 1) of soft targets, got {self.smoothing}: 0.1 is usual")
        if not 0.0 < self.decay <= 1.0:
            raise ValueError(f"expected decay in (0, 1] of soft targets, got {self.decay}: 1 is blind to the tree")


def common_heights(tree: ClassTree, level: int) -> Tensor:
    """How many levels two nodes of a level lie below their lowest common ancestor, `(K_l, K_l)`.

    Zeros on the diagonal; nodes without a common ancestor count as if there were one above the top level.
    """
    count, ancestors = len(tree.levels[level].ids), tree.ancestors[level:]
    # Any leaf under a node stands for it where its ancestors are looked up.
    leaf = torch.zeros(count, dtype=torch.long).scatter_(0, ancestors[0], torch.arange(ancestors.shape[1]))
    above = ancestors[:, leaf]
    return (above[:, :, None] != above[:, None, :]).sum(dim=0)


def level_targets(tree: ClassTree, level: int, soft: SoftTargets) -> Tensor:
    """Probabilities `(K_l, K_l)` of the nodes of a level, one row for each as the target; rows sum to 1."""
    heights = common_heights(tree, level)
    own = torch.eye(len(heights), dtype=torch.bool)
    others = (soft.decay ** heights.double()).masked_fill(own, 0.0)
    total = others.sum(dim=1, keepdim=True)
    given = torch.where(total > 0.0, soft.smoothing, 0.0)  # a node alone on its level keeps all
    shared = given * others / total.clamp_min(torch.finfo(total.dtype).tiny)
    return torch.where(own, 1.0 - given, shared).float()


def tree_targets(tree: ClassTree, soft: SoftTargets) -> Tensor:
    """`level_targets` of all levels as blocks of one matrix `(T, T)`."""
    return torch.block_diag(*(level_targets(tree, level, soft) for level in range(len(tree.levels))))


def leaf_targets(forest: Forest, soft: SoftTargets) -> Tensor:
    """Probabilities `(K, K)` of the leaves: the mean over the trees."""
    return torch.stack([level_targets(tree, 0, soft) for tree in forest]).mean(dim=0)


def soft_cross_entropy(scores: Tensor, targets: Tensor, probabilities: Tensor) -> Tensor:
    """Cross-entropy `(R,)` of scores `(R, N)` with the targets' rows of probabilities `(T, T)`, N <= T.

    Args:
        scores: −inf where a column is no candidate; such columns have probability 0.
        targets: `(R,)`.
        probabilities: Rows sum to 1 over the first N columns.
    """
    wanted = probabilities[targets, : scores.shape[1]]
    mean = (wanted * torch.where(wanted > 0.0, scores, 0.0)).sum(dim=1)
    return scores.logsumexp(dim=1) - mean
