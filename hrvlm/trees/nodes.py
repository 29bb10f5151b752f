"""The words of a class tree: `Node`, `Level`, and the one error that everything wrong with a tree raises."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_TEMPLATE = "a picture of a {}"


class TreeError(ValueError):
    """A tree, or the file that should hold one, is wrong; the sentence names the file and the node."""


@dataclass(frozen=True)
class Node:
    """One node of a tree.

    Attributes:
        id: unique within its tree; the id of a leaf is the class name (or synset) that the data set uses.
        name: words for people and for prompts.
        parent: id of the one parent, or None for a top node.
        prompt: text for the text encoder; None means the tree's template filled with the name.
        synset: WordNet 3.0 offset and part of speech such as ``n02118333``, or None.
    """

    id: str
    name: str
    parent: str | None
    prompt: str | None = None
    synset: str | None = None


@dataclass(frozen=True)
class Level:
    """One level of a tree: level 0 holds the leaves, the last level the coarsest superclasses.

    Attributes:
        index: 0 = leaf ... L = coarsest.
        name: what the level is called in reports.
        ids: node ids; the position in this tuple is the class index at this level.
        names: node names, in the same order.
    """

    index: int
    name: str
    ids: tuple[str, ...]
    names: tuple[str, ...]


def some(items: list[str], limit: int = 5) -> str:
    """Returns the first few items quoted, and how many were left out, for use in an error sentence."""
    shown = ", ".join(repr(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
