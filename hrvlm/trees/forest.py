"""`Forest`: several trees over the same classes, so that one label of an image gives its label in every tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hrvlm.trees.files import load_tree
from hrvlm.trees.nodes import TreeError, some
from hrvlm.trees.tree import ClassTree


class Forest:
    """Several `ClassTree` over the SAME leaves, all in the leaf order of the first."""

    def __init__(self, trees: Sequence[ClassTree]) -> None:
        """Checks that the trees hold the same leaves.

        Args:
            trees: at least one tree; those after the first are put into its leaf order.

        Raises:
            TreeError: if there is no tree, two have the same name, or the leaves of two trees differ.
        """
        if not trees:
            raise TreeError("expected at least one tree in a forest, got none")
        names = [tree.name for tree in trees]
        if len(set(names)) != len(names):
            raise TreeError(f"expected trees with different names in a forest, got {names}; a report tells them apart")
        for tree in trees[1:]:
            _check_same_leaves(trees[0], tree)
        self._trees = tuple(
            tree if tree.leaves == trees[0].leaves else tree.restrict(trees[0].leaves) for tree in trees
        )

    @property
    def trees(self) -> tuple[ClassTree, ...]:
        """The trees, in the order given."""
        return self._trees

    @property
    def leaves(self) -> tuple[str, ...]:
        """Ids of the leaves, the same in every tree; their order is the class order."""
        return self._trees[0].leaves

    def __iter__(self) -> Iterator[ClassTree]:
        return iter(self._trees)

    def __len__(self) -> int:
        return len(self._trees)

    def __getitem__(self, index: int) -> ClassTree:
        return self._trees[index]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{tree.name}: {'/'.join(str(len(level.ids)) for level in tree.levels)}" for tree in self)
        return f"Forest({sizes})"

    def restrict(self, leaves: Sequence[str]) -> Forest:
        """Returns the forest over the given leaves only, in exactly that order, see `ClassTree.restrict`."""
        return Forest([tree.restrict(leaves) for tree in self._trees])

    def with_templates(self, templates: Sequence[str]) -> Forest:
        """Returns the forest with prompts for the leaves, see `ClassTree.with_templates`."""
        return Forest([tree.with_templates(templates) for tree in self._trees])


def load_forest(
    paths: Sequence[str | Path], leaves: Sequence[str] | None = None, num_levels: int | None = None
) -> Forest:
    """Reads several trees over the same classes.

    Args:
        paths: tree files, or names of trees that come with the package.
        leaves: the class names of a data set, in its order; the trees are restricted to them. None keeps all
            leaves in the order of the first file.
        num_levels: cut every tree to at most this many levels, see `load_tree`.

    Raises:
        TreeError: if a file is not a valid tree, the trees differ in their leaves, or a class has no leaf.
    """
    if isinstance(paths, str | Path):
        raise TreeError(f"expected a list of tree files, got the single path {str(paths)!r}; write [{str(paths)!r}]")
    trees = [load_tree(path, num_levels=num_levels) for path in paths]
    return Forest(trees if leaves is None else [tree.restrict(leaves) for tree in trees])


def _check_same_leaves(first: ClassTree, other: ClassTree) -> None:
    """Raises TreeError naming the leaves that only one of the two trees has."""
    here, there = set(first.leaves), set(other.leaves)
    if here == there:
        return
    only_first = [leaf for leaf in first.leaves if leaf not in there]
    only_other = [leaf for leaf in other.leaves if leaf not in here]
    parts = [f"only in {first.info.origin}: {some(only_first)}"] if only_first else []
    parts += [f"only in {other.info.origin}: {some(only_other)}"] if only_other else []
    raise TreeError(f"the trees of a forest need the same leaves; {'; '.join(parts)}; add them or restrict both trees")
