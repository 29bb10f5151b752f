"""How `hrvlm tree` shows trees and their differences on a terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from hrvlm.reports.terminal import PlainConsole, bold, console, lines_of
from hrvlm.trees import ClassTree
from hrvlm.trees.comparing import TreeDifference
from hrvlm.trees.structure import path_to_top
from hrvlm.trees.words import with_name

WIDTH = 200  # keeps long lines whole where the output is no terminal


def summary(tree: ClassTree) -> str:
    """One line: the tree's name and how many nodes each level has, leaves first."""
    levels = ", ".join(f"{len(level.ids)} {level.name}" for level in tree.levels)
    return f"{tree.name}: {len(tree.levels)} levels ({levels})"


def print_tree(tree: ClassTree, depth: int | None, prompts: bool) -> None:
    """Prints the nodes down to a depth, with the number of classes below each, and a table of the levels.

    Args:
        tree: What to print.
        depth: Nodes on a path from the top to show; None shows all.
        prompts: Show the texts that a model reads in place of names.
    """
    below = Counter(node for leaf in tree.leaves for node in path_to_top(tree.nodes, leaf)[1:])
    children = defaultdict(list)
    for key, node in tree.nodes.items():
        children[node.parent].append(key)

    def add(branch: Tree, key: str, left: int | None) -> None:
        node = tree.nodes[key]
        text = (node.prompt or with_name(tree.info.template, node.name)) if prompts else node.name
        count = f" ({below[key]})" if below[key] else ""
        part = branch.add(Text.assemble(lines_of(text), (count, "dim")))
        for child in children[key] if left is None or left > 1 else ():
            add(part, child, None if left is None else left - 1)

    root = Tree(Text.assemble(bold(tree.name), (f" ({len(tree.leaves)})", "dim")))
    for key in children[None]:
        add(root, key, depth)
    console(WIDTH).print(root, highlight=False)
    console(WIDTH).print(_levels(tree))


def _levels(tree: ClassTree) -> Table:
    """Number of nodes per level, how many of them are classes that stand for themselves, and the largest."""
    table = Table("level", "name", "nodes", "classes among them", "most classes in a node")
    for level, row in zip(tree.levels, tree.rows, strict=True):
        leaves = sum(leaf == key for leaf, key in zip(tree.leaves, row, strict=True))
        largest = max(Counter(row).values())
        table.add_row(str(level.index), level.name, str(len(level.ids)), str(leaves), str(largest))
    return table


def print_comparison(first: ClassTree, second: ClassTree, difference: TreeDifference, limit: int) -> None:
    """Prints nodes and leaves that one tree has alone, moved leaves, and the agreement of the levels."""
    out = console(WIDTH)
    for tree, nodes, leaves in zip((first, second), difference.only_nodes, difference.only_leaves, strict=True):
        _print_list(out, f"nodes only in {tree.name}", nodes, limit)
        _print_list(out, f"leaves only in {tree.name}", leaves, limit)
    moved = [f"{leaf}: {_path(old)} -> {_path(new)}" for leaf, (old, new) in difference.moved.items()]
    _print_list(out, "leaves whose path differs", moved, limit)
    table = Table(f"{first.name} \\ {second.name}", *(level.name for level in second.levels[1:]))
    for level, values in zip(first.levels[1:], difference.agreement, strict=True):
        table.add_row(level.name, *(f"{value:.3f}" for value in values))
    out.print("Adjusted Rand index of the levels (1: same partition of the classes; 0: no better than chance)")
    out.print(table)


def _print_list(out: PlainConsole, title: str, items: Sequence[str], limit: int) -> None:
    out.print(bold(title, after=f": {len(items)}"), highlight=False)
    for item in items[:limit]:
        out.print(f"  {item}", highlight=False, soft_wrap=True)
    if len(items) > limit:
        out.print(f"  and {len(items) - limit} more")


def _path(superclasses: Sequence[str]) -> str:
    return " < ".join(superclasses) or "(top)"
