"""Class trees: hierarchies over the classes of a data set, read from YAML, validated, and turned into levels."""

from __future__ import annotations

from hrvlm.trees.files import load_tree, save_tree
from hrvlm.trees.forest import Forest, load_forest
from hrvlm.trees.negatives import Direction
from hrvlm.trees.nodes import Level, Node, TreeError
from hrvlm.trees.tree import ClassTree, TreeInfo

__all__ = [
    "ClassTree",
    "Direction",
    "Forest",
    "Level",
    "Node",
    "TreeError",
    "TreeInfo",
    "load_forest",
    "load_tree",
    "save_tree",
]
