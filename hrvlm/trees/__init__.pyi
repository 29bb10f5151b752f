from .files import load_tree, save_tree
from .forest import Forest, load_forest
from .negatives import Direction
from .nodes import Level, Node, TreeError
from .tree import ClassTree, TreeInfo

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
