"""Cutting a deep tree to levels of groups large enough to say something, where `num_levels` cuts by position.

WordNet's branches differ in depth: a terrier has thirteen superclasses, a bridge three, so that no number of steps
means the same in both. Here a level asks for a number of classes. Of level l with m_l classes, the node of a class is
its deepest superclass that has at least m_l classes of the data below it, and the top node where none has. Three
things follow or are added:

* A superclass may stand above others of its level. It then holds the classes that are in none of them.
* Repeats are dropped: a group that holds one group of the level below (or one class) and nothing more says nothing new,
  and is passed over. What is in it goes to the next superclass; only a top node, which has none, may repeat.
* Where a class was passed on at one level, the next level starts from where it is, so that every level coarsens
  the one below.

All paths have the same length: a superclass that serves at several levels is a node in each of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from hrvlm.trees.nodes import Node, TreeError
from hrvlm.trees.structure import find_leaves, path_to_top
from hrvlm.trees.tree import ClassTree

DEFAULT_LEAST = (3, 10, 45, 215)  # chosen for the 1,000 classes of ImageNet: no level has more than a tenth of repeats


def cut_by_size(tree: ClassTree, least: Sequence[int] = DEFAULT_LEAST) -> ClassTree:
    """Returns the tree whose level l has, for each class, its deepest superclass of at least ``least[l-1]`` classes.

    Args:
        tree: A tree as it was built or loaded, not cut yet; its level names are dropped.
        least: Classes that a node of each level above the leaves has at least, rising. Levels that come out with a
            single node, or like the level below, are left out.

    Raises:
        ValueError: If ``least`` is empty, does not rise, or begins below 2.
        TreeError: If no level is left.
    """
    check_sizes(least)
    leaves = find_leaves(tree.nodes)
    levels: list[dict[str, str]] = [{leaf: leaf for leaf in leaves}]
    for number in least:
        row = _coarsened(tree.nodes, levels[-1], number)
        if len(set(row.values())) > 1 and len(set(row.values())) < len(set(levels[-1].values())):
            levels.append(row)
    if len(levels) == 1:
        raise TreeError(
            f"{tree.info.origin}: no level of at least two groups is left of {len(leaves)} classes with at least "
            f"{list(least)} classes in a group; ask for fewer"
        )
    return ClassTree.from_nodes(_nodes(tree, levels), replace(tree.info, level_names=None))


def check_sizes(least: Sequence[int]) -> None:
    """Refuses numbers of classes that are no levels.

    Raises:
        ValueError: If there is none, they do not rise, or begin below 2.
    """
    if not least or least[0] < 2 or any(low >= high for low, high in pairwise(least)):
        raise ValueError(f"expected least numbers of classes that rise from 2 or more, got {list(least)}")


def _coarsened(nodes: Mapping[str, Node], below: Mapping[str, str], least: int) -> dict[str, str]:
    """The superclass of each class at the next level.

    Args:
        nodes: Of the whole tree.
        below: Each class's node at the level below, or the class itself.
        least: Classes that a node should have at least.
    """
    sizes = Counter(node for leaf in below for node in path_to_top(nodes, leaf)[1:])
    found: dict[str, str] = {}
    for part in dict.fromkeys(below.values()):
        path = path_to_top(nodes, part)
        path = path[1:] if part in below else path  # a class is no group
        found[part] = next((node for node in path if sizes[node] >= least), path[-1])
    while repeats := _repeats(nodes, found):
        deepest = max(repeats.values())
        found = {
            part: str(nodes[node].parent) if repeats.get(node) == deepest else node for part, node in found.items()
        }
    return {leaf: found[part] for leaf, part in below.items()}


def _repeats(nodes: Mapping[str, Node], found: Mapping[str, str]) -> dict[str, int]:
    """Depth of each group with a single part and a superclass above it to which the part could go."""
    parts = Counter(found.values())
    return {
        node: len(path_to_top(nodes, node))
        for node, count in parts.items()
        if count == 1 and nodes[node].parent is not None
    }


def _nodes(tree: ClassTree, levels: Sequence[Mapping[str, str]]) -> list[Node]:
    """The nodes of the levels, coarsest first; one that recurs has its level in its id wherever it is not highest."""
    highest = {node: number for number, level in enumerate(levels) for node in level.values()}

    def name(node: str, number: int) -> str:
        return node if highest[node] == number else f"{node}/{number}"

    parents: dict[int, dict[str, str | None]] = defaultdict(dict)
    for number, level in enumerate(levels):
        above = levels[number + 1] if number + 1 < len(levels) else None
        for leaf, node in level.items():
            parents[number][node] = None if above is None else name(above[leaf], number + 1)
    return [
        replace(tree.nodes[node], id=name(node, number), name=tree.nodes[node].name, parent=parents[number][node])
        for number in reversed(range(len(levels)))
        for node in (tree.nodes if number else levels[0])
        if node in parents[number]
    ]
