"""What differs between two trees: nodes, leaves, paths, and how far the partitions of their levels agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import comb

from hrvlm.trees.nodes import TreeError
from hrvlm.trees.structure import path_to_top
from hrvlm.trees.tree import ClassTree


@dataclass(frozen=True)
class TreeDifference:
    """How two trees differ.

    Attributes:
        only_nodes: ids of superclasses that only the first, and only the second tree has.
        only_leaves: ids of leaves that only the first, and only the second tree has.
        moved: per common leaf whose path differs, its superclasses in each tree, from the nearest up.
        agreement: per level above the leaves of the first tree, per such level of the second, the adjusted Rand index
            of the two partitions of the common leaves: 1 for the same partition, about 0 for unrelated ones.
    """

    only_nodes: tuple[tuple[str, ...], tuple[str, ...]]
    only_leaves: tuple[tuple[str, ...], tuple[str, ...]]
    moved: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    agreement: tuple[tuple[float, ...], ...]

    @property
    def same(self) -> bool:
        """Whether the trees have the same nodes, leaves and paths (texts and order aside)."""
        return not (any(self.only_nodes) or any(self.only_leaves) or self.moved)


def compare_trees(first: ClassTree, second: ClassTree) -> TreeDifference:
    """Compares two trees; leaves that only one has count for neither paths nor agreement.

    Raises:
        TreeError: if the trees have fewer than two leaves in common.
    """
    common = [leaf for leaf in first.leaves if leaf in set(second.leaves)]
    if len(common) < 2:
        raise TreeError(
            f"expected trees with leaves in common, got {len(common)} that {first.info.origin} and "
            f"{second.info.origin} share; were they made for the same classes?"
        )
    above = [{key for key in tree.nodes if key not in set(tree.leaves)} for tree in (first, second)]
    leaves = [set(first.leaves), set(second.leaves)]
    paths = {leaf: (_superclasses(first, leaf), _superclasses(second, leaf)) for leaf in common}
    parts = [_partitions(tree, common) for tree in (first, second)]
    return TreeDifference(
        only_nodes=(_only(first, above[0] - above[1]), _only(second, above[1] - above[0])),
        only_leaves=(_only(first, leaves[0] - leaves[1]), _only(second, leaves[1] - leaves[0])),
        moved={leaf: pair for leaf, pair in paths.items() if pair[0] != pair[1]},
        agreement=_agreement(*parts),
    )


def _agreement(first: list[list[str]], second: list[list[str]]) -> tuple[tuple[float, ...], ...]:
    """The adjusted Rand index of every two levels."""
    return tuple(tuple(adjusted_rand(a, b) for b in second) for a in first)


def adjusted_rand(first: Sequence[str], second: Sequence[str]) -> float:
    """How far two partitions agree: 1 for the same one, about 0 for unrelated ones (Hubert and Arabie 1985, eq. 5).

    Args:
        first: The part of each of at least two items.
        second: The same in another partition.
    """
    alike, in_first, in_second = (_pairs(parts) for parts in (zip(first, second, strict=True), first, second))
    by_chance = in_first * in_second / comb(len(first), 2)
    most = (in_first + in_second) / 2
    return 1.0 if most == by_chance else (alike - by_chance) / (most - by_chance)  # one part, or items alone, in both


def _pairs(parts: Iterable[Hashable]) -> int:
    """Pairs of items that are in one part."""
    return sum(comb(size, 2) for size in Counter(parts).values())


def _superclasses(tree: ClassTree, leaf: str) -> tuple[str, ...]:
    return tuple(path_to_top(tree.nodes, leaf)[1:])


def _only(tree: ClassTree, ids: set[str]) -> tuple[str, ...]:
    return tuple(key for key in tree.nodes if key in ids)


def _partitions(tree: ClassTree, leaves: Sequence[str]) -> list[list[str]]:
    """Returns, per level above the leaves, the node of each of the given leaves."""
    column = {leaf: index for index, leaf in enumerate(tree.leaves)}
    return [[row[column[leaf]] for leaf in leaves] for row in tree.rows[1:]]
