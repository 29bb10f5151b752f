"""Whether labels over the levels of a tree are right together, from labels and predictions alone.

A node of the level l is named by (l, its number there); level 0 holds the leaves. Source: Wu et al., "ProTeCt: Prompt
Tuning for Taxonomic Open Set Classification", CVPR 2024 (arXiv 2306.02240). The rates at which trees are pruned are
this project's, and so is how predictions of levels answer for a cut, as labels are kept and scores are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from statistics import fmean

PRUNING_RATES = (0.1, 0.3, 0.5, 0.7, 0.9)
CUTS_PER_RATE = 5
Labels = Sequence[Sequence[int]]


def hierarchical_consistent_accuracy(labels: Labels, predictions: Labels) -> float:
    """Share of images that are right at every level (HCA), in [0, 1].

    Args:
        labels: Of each image, the right node of every level, leaves first; at least one image.
        predictions: Of each image, the predicted node of every level; -1 for none.
    """
    pairs = zip(labels, predictions, strict=True)
    return fmean(list(right) == list(found) for right, found in pairs)


def mean_treecut_accuracy(labels: Labels, predictions: Labels, *, seed: int = 0) -> float:
    """Mean accuracy (MTA) over label sets of mixed levels, in [0, 1].

    A treecut is a label set that has one node on the path of each leaf. It is drawn by pruning the tree at random, from
    the top: a superclass becomes a label with a probability, and else makes way for its children. 25 cuts are drawn,
    five of each of five probabilities from 0.1 to 0.9. The answer for a cut is the first predicted node, from the top
    level down, that pruning would keep; it is right if it is the label of the image in the cut.

    Args:
        labels: Of each image, the right node of every level, leaves first; at least one image.
        predictions: Of each image, the predicted node of every level; -1 for none.
        seed: Of the cuts, which depend on nothing else.
    """
    pairs = [(tuple(right), tuple(found)) for right, found in zip(labels, predictions, strict=True)]
    cuts = len(PRUNING_RATES) * CUTS_PER_RATE
    return fmean(
        treecut_node(right, seed, cut) == treecut_node(found, seed, cut)
        for cut in range(cuts)
        for right, found in pairs
    )


def treecut_node(path: Sequence[int], seed: int, cut: int) -> tuple[int, int]:
    """The first node of a path, from the top level down, at which a random treecut prunes the tree, or its leaf.

    Args:
        path: A node of every level, leaves first.
        seed: Of the cuts.
        cut: Number of the cut.

    Returns:
        Level and node.
    """
    for level in range(len(path) - 1, 0, -1):
        if is_pruned(level, path[level], seed, cut):
            return level, path[level]
    return 0, path[0]


@cache
def is_pruned(level: int, node: int, seed: int, cut: int) -> bool:
    """Whether a random treecut that comes to a superclass makes it a label; by address, so in no order."""
    digest = hashlib.sha256(f"{seed} {cut} {level} {node}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64 < PRUNING_RATES[cut % len(PRUNING_RATES)]
