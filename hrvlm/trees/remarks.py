"""What a valid tree may still do badly: levels that repeat, giant fan-outs, tops of one class, names that are unions.

None of it is an error. A level that mostly repeats the one below trains the same thing twice, a node with hundreds of
children says little of them, and a text encoder has seen few pictures captioned "water, sky or battlefield".
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from hrvlm.trees.nodes import some
from hrvlm.trees.structure import path_to_top
from hrvlm.trees.tree import ClassTree

MOST_REPEATS = 0.1
"""Share of a level's nodes above which repeats are told."""
MOST_CHILDREN = 50
"""Children of a node above which its fan-out is told."""
_UNION = re.compile(r",|\bor\b|\band\b", re.IGNORECASE)


def remarks(tree: ClassTree) -> list[str]:
    """Sentences about what could be better in a tree, each with the first few nodes concerned; empty if nothing could.

    Args:
        tree: As it is loaded, cut or not.
    """
    found = [*_repeats(tree), *_fan_outs(tree), *_small_tops(tree), *_unions(tree)]
    return [f"{tree.name}: {text}" for text in found]


def repeated_nodes(tree: ClassTree, level: int) -> list[str]:
    """Ids of the nodes of a level that hold a single node of the level below, or a single class.

    Args:
        tree: Any.
        level: From 1 to the last.
    """
    parts = Counter(above for _, above in set(zip(tree.rows[level - 1], tree.rows[level], strict=True)))
    return [node for node in tree.levels[level].ids if parts[node] == 1]


def _repeats(tree: ClassTree) -> list[str]:
    found = []
    for level in tree.levels[1:]:
        again = repeated_nodes(tree, level.index)
        if len(again) > MOST_REPEATS * len(level.ids):
            found.append(
                f"{len(again)} of {len(level.ids)} nodes of {level.name!r} only repeat a node of the level below: "
                f"{some(_names(tree, again))}"
            )
    return found


def _fan_outs(tree: ClassTree) -> list[str]:
    children = Counter(node.parent for node in tree.nodes.values() if node.parent is not None)
    wide = [f"{tree.nodes[key].name} ({count})" for key, count in children.most_common() if count > MOST_CHILDREN]
    return [f"{len(wide)} nodes have more than {MOST_CHILDREN} children: {some(wide)}"] if wide else []


def _small_tops(tree: ClassTree) -> list[str]:
    if len(tree.rows) == 1:  # flat: every class is a top
        return []
    below: dict[str, int] = defaultdict(int)
    for leaf in tree.leaves:
        below[path_to_top(tree.nodes, leaf)[-1]] += 1
    small = [key for key, count in below.items() if count == 1]
    return [f"{len(small)} top nodes hold a single class: {some(_names(tree, small))}"] if small else []


def _unions(tree: ClassTree) -> list[str]:
    above = [key for key in tree.nodes if key not in set(tree.leaves)]
    unions = [name for name in _names(tree, above) if _UNION.search(name)]
    return [f"the names of {len(unions)} superclasses are unions: {some(unions)}"] if unions else []


def _names(tree: ClassTree, nodes: list[str]) -> list[str]:
    return [tree.nodes[key].name for key in nodes]
