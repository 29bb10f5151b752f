"""Labels over levels that cannot contradict each other: every level is read off one path through all trees.

Level classifiers that decide each by themselves call one picture a "traffic light", a "water bird" and a "household
object". Here each class is scored along its whole path, from its leaf to the top of every tree, and a node of a level
scores as the best class below it. The best nodes of all levels then lie on the path of the best class, whatever the
scores are: coherent by construction. Scores of levels are made comparable as log-probabilities of their softmax.

* "path": the sum over all levels of the log-probability that each level's own classifier gives.
* "leaves": the same, but a superclass has the sum of the probabilities of its leaves, so that only the leaf classifier
  is asked.

Both are functions of the picture alone, and so may be attacked, smoothed and certified as any classifier. Their scores
are not affine in the embedding.

Shapes: N images, K leaves, K_l nodes of a level.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor

from hrvlm.geometry.labels import NO_LABEL, labels_of

Decoding = Literal["independent", "path", "leaves"]
Key = TypeVar("Key", bound=Hashable)
DECODINGS: tuple[Decoding, ...] = ("independent", "path", "leaves")


def check_decoding(name: str) -> None:
    """Refuses a decoding that there is not.

    Raises:
        ValueError: With what there is.
    """
    if name not in DECODINGS:
        raise ValueError(f"expected decoding to be one of {', '.join(DECODINGS)}, got {name!r}")


def leaf_sums(leaf_scores: Tensor, ancestors: Tensor) -> Tensor:
    """Log-probabilities (N, K_l) of superclasses as sums over their leaves.

    Args:
        leaf_scores: (N, K); their softmax gives the probabilities of the leaves.
        ancestors: (K,) superclass of each leaf, of 0 to K_l − 1, each of them at least once.
    """
    logs = leaf_scores.log_softmax(dim=1)
    most = best_below(logs, ancestors)
    parts = (logs - most[:, ancestors]).exp()  # the largest of a superclass is 1, so that nothing vanishes
    sums = torch.zeros_like(most).scatter_add(1, ancestors.expand(len(logs), -1), parts)
    return most + sums.log()


def path_scores(log_probabilities: Sequence[Tensor], ancestors: Sequence[Tensor]) -> Tensor:
    """Scores (N, K) of classes: sums of the log-probabilities of the nodes on their paths.

    Args:
        log_probabilities: Of each level, (N, K_l).
        ancestors: Of each level, (K,): the node of every class there.
    """
    along = [scores[:, nodes] for scores, nodes in zip(log_probabilities, ancestors, strict=True)]
    return torch.stack(along).sum(dim=0)


def best_below(scores: Tensor, ancestors: Tensor) -> Tensor:
    """Scores (N, K_l) of nodes: of the best class below each.

    Args:
        scores: (N, K).
        ancestors: (K,) node of each class, of 0 to K_l − 1, each of them at least once.
    """
    start = scores.new_full((len(scores), int(ancestors.max()) + 1), -torch.inf)
    return start.scatter_reduce(1, ancestors.expand(len(scores), -1), scores, "amax")


def decode(scores: Mapping[Key, Tensor], ancestors: Mapping[Key, Tensor], decoding: Decoding) -> Tensor:
    """Scores (N, K) of classes along their paths.

    Args:
        scores: Of each level by its key, (N, K_l), leaves first; of the leaves alone if decoding is "leaves".
        ancestors: Of each level by its key, (K,): the node of every class there.
        decoding: "path" or "leaves".
    """
    if decoding == "leaves":
        leaves = next(iter(scores.values()))
        return path_scores([leaf_sums(leaves, nodes) for nodes in ancestors.values()], list(ancestors.values()))
    return path_scores([scores[key].log_softmax(dim=1) for key in ancestors], list(ancestors.values()))


def labels_along(scores: Tensor, ancestors: Tensor) -> Tensor:
    """Labels (N,) of a level that lie on the path of the best class; -1 where scores (N, K) are not finite."""
    best = labels_of(scores)
    return torch.where(best >= 0, ancestors[best], NO_LABEL)
