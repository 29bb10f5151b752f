"""The deepest ancestor that is certified at every radius, from the leaf labels of one noise pass.

"The answer stays among the leaves below node v" is a base classifier with two answers, so counts of leaves give a
certificate for every node of a tree, from the same samples. A node counts at least what its children count, hence
radii grow towards the root, and the nodes certified at a radius form one chain whose deepest one says the most. The
root holds everywhere and says nothing; an invalid answer counts for no node.

Two error budgets. *All radii*: alpha / D for each of the D levels, so every radius of every level may be read off after
looking. *Fixed radii*: M radii given before sampling, alpha / M each, without correction for levels: wrongly certifying
some node at r needs a count of at least k_r for a node of probability at most p_r, and the shallowest such nodes are
disjoint; `P(Bin(n, p) >= k_r)` being convex in p below p_r, they err most often with two nodes of p_r and 1 - p_r.

All functions take counts of any number of images at once (leading dimensions) and are exact in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrvlm.certificates.statistics.binomial import UPWARD, check_alpha, clopper_pearson_lower, threshold_radius
from hrvlm.certificates.statistics.claim import MAJORITY
from hrvlm.certificates.statistics.radii import radius_probability
from hrvlm.certificates.statistics.special import betainc

Budget: TypeAlias = Literal["all radii", "fixed radii"]
BUDGETS: tuple[Budget, ...] = ("all radii", "fixed radii")
Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


def node_counts(leaf_counts: ArrayLike, ancestors: ArrayLike) -> list[Ints]:
    """Counts of the nodes of every level, `(..., K_l)` each, from counts of leaves `(..., K)`.

    Args:
        leaf_counts: samples with each leaf as their label; invalid ones left out.
        ancestors: `(D, K)` label of every leaf at every level, leaves first, see `ClassTree.ancestors`.

    Raises:
        ValueError: if the shapes do not fit each other.
    """
    counts, table = np.asarray(leaf_counts), np.asarray(ancestors)
    if table.ndim != 2 or counts.shape[-1:] != table.shape[1:] or not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(
            f"expected integer leaf_counts (..., K) and ancestors (D, K), got {counts.dtype} {counts.shape} and "
            f"{table.shape}"
        )
    levels = []
    for row in table:
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(row.max() + 1))
        levels.append(np.add.reduceat(counts[..., order], starts, axis=-1).astype(np.int64))
    return levels


def chain_of(counts: Sequence[Ints], ancestors: ArrayLike) -> Ints:
    """From the top, each time the child with the largest count: `(..., D)` nodes, leaves first; -1 without any count.

    A node with more than half of all samples is always on it.

    Args:
        counts: of every level, see `node_counts`.
        ancestors: `(D, K)`, see `node_counts`.
    """
    table = np.asarray(ancestors)
    chain = np.empty((*counts[0].shape[:-1], len(table)), dtype=np.int64)
    chain[..., -1] = counts[-1].argmax(axis=-1)
    for level in range(len(table) - 2, -1, -1):
        parent = np.zeros(counts[level].shape[-1], dtype=np.int64)
        parent[table[level]] = table[level + 1]
        below = parent == chain[..., level + 1, None]
        chain[..., level] = np.where(below, counts[level], -1).argmax(axis=-1)
    return np.where((counts[-1].max(axis=-1) > 0)[..., None], chain, -1)


def counts_along(counts: Sequence[Ints], chain: Ints) -> Ints:
    """Counts `(..., D)` of the nodes of a chain; 0 where there is no node."""
    found = [
        np.take_along_axis(level, np.maximum(chain[..., i, None], 0), axis=-1)[..., 0] for i, level in enumerate(counts)
    ]
    return np.where(chain >= 0, np.stack(found, axis=-1), 0)


def profile_radii(
    counts: ArrayLike, n: int, alpha: float, sigma: float, *, same_samples: bool = False, threshold: float = 0.5
) -> tuple[Floats, Floats]:
    """Lower bounds and radii `(..., D)` of the levels of a chain, all of which hold at once: budget "all radii".

    Args:
        counts: `(..., D)` samples below the node of each level, leaves first.
        n: samples, invalid ones included.
        alpha: error probability in (0, 1) of everything the profile says at any radius.
        sigma: standard deviation of the noise.
        same_samples: whether the chain was chosen by these counts; it then takes half of alpha, and bounds up to 1/2
            are left out, as 0, see `claims.MAJORITY`.
        threshold: probability in [1/2, 1) that a node must keep within its radius.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    along = np.asarray(counts)
    _check(alpha, threshold)
    share = alpha / along.shape[-1] / (2 if same_samples else 1)
    lower = np.asarray(clopper_pearson_lower(along, n, share))
    if same_samples:
        lower = np.where(lower > MAJORITY, lower, 0.0)
    return lower, np.asarray(threshold_radius(lower, sigma, threshold=threshold))


def certifying_count(n: int, alpha: float, probability: float) -> int:
    """Least count with which nodes are certified at a radius fixed in advance; n + 1 if none does.

    It is the least k with `P(Bin(n, p) >= k) + P(Bin(n, 1 - p) >= k) <= alpha`: the error of certifying every node of
    a tree that counts k or more, whether chosen by looking or not. The second term matters near p = 1/2 alone.

    Args:
        n: samples.
        alpha: error probability in (0, 1) for the radius, over all nodes of the tree together.
        probability: p = `Phi(r / sigma + Phi^-1(threshold))`, at least 1/2.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    check_alpha(alpha)
    if n < 1 or not 0.5 <= probability <= 1:
        raise ValueError(f"expected n >= 1 and a probability in [1/2, 1], got {n} and {probability}")
    low, high = 0, n + 1
    while high - low > 1:
        k = (low + high) // 2
        error = betainc(k, n - k + 1, probability) + betainc(k, n - k + 1, 1 - probability)
        low, high = (low, k) if error * (1 + UPWARD) <= alpha else (k, high)
    return high


def deepest_certified(
    counts: ArrayLike, n: int, alpha: float, radii: Sequence[float], sigma: float, *, threshold: float = 0.5
) -> Ints:
    """Deepest certified level `(..., M)` at each of M radii fixed in advance, -1 for none: budget "fixed radii".

    Args:
        counts: `(..., D)` samples below the node of each level, leaves first, of the chain of largest counts.
        n: samples, invalid ones included.
        alpha: error probability in (0, 1) of all answers together; alpha / M each.
        radii: given before sampling, at least 0.
        sigma: standard deviation of the noise.
        threshold: probability in [1/2, 1) that a node must keep within the radius.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    along = np.asarray(counts)
    _check(alpha, threshold)
    if not radii or min(radii) < 0:
        raise ValueError(f"expected at least one radius, none below 0, got {list(radii)}")
    found = []
    for probability in radius_probability(list(radii), sigma, threshold=threshold):
        enough = along >= certifying_count(n, alpha / len(radii), float(probability))
        found.append(np.where(enough.any(axis=-1), enough.argmax(axis=-1), -1))
    return np.stack(found, axis=-1)


def choose_budget(num_radii: int, num_levels: int) -> Budget:
    """The stronger budget for so many radii fixed in advance, 0 if there are none: more radii than levels want all."""
    return "fixed radii" if 0 < num_radii <= num_levels else "all radii"


def _check(alpha: float, threshold: float) -> None:
    check_alpha(alpha)
    if not 0.5 <= threshold < 1:
        raise ValueError(f"expected a threshold in [1/2, 1) for a profile, got {threshold}: below 1/2 nodes fork")
