"""Trees from WordNet 3.0: along hypernym paths, for any classes that are named by synset.

WordNet is a graph in which a synset may have several hypernyms, while a tree needs one parent, so the choice is an
explicit policy. ``n02084071`` (dog) is a canine and a domestic animal:

* "first": the hypernym with the lowest offset, whatever it is;
* "shortest": the one nearest the root;
* "longest": the one farthest from the root, the finest distinction.

Ties fall to the lowest offset, so the same mapping always gives the same tree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from nltk.corpus.reader.wordnet import WordNetCorpusReader

from hrvlm.trees.nodes import Node, TreeError
from hrvlm.trees.tree import ClassTree, TreeInfo
from hrvlm.trees.wordnet_data import hypernyms, synset_by_id, synset_id

Policy = Literal["first", "shortest", "longest"]
POLICIES = ("first", "shortest", "longest")


def build_wordnet_tree(
    wordnet: WordNetCorpusReader,
    synsets: Mapping[str, str],
    *,
    policy: Policy = "longest",
    prune: bool = True,
    num_levels: int | None = None,
    info: TreeInfo | None = None,
) -> ClassTree:
    """Builds a tree in which every leaf hangs below its synset and that synset's hypernyms.

    Classes may share a synset, and the synset of one may lie above that of another: each class is a leaf of its own,
    a child of its synset.

    Args:
        wordnet: from `hrvlm.trees.wordnet_data.open_wordnet`.
        synsets: class name -> synset id such as ``n02084071``; the order is the leaf order.
        policy: which hypernym is the parent where there are several.
        prune: leave out superclasses with a single child.
        num_levels: cut to at most this many levels, see `ClassTree.from_nodes`.
        info: name, source and licence; None says WordNet 3.0.

    Raises:
        TreeError: if there is no class, or a synset id is not in WordNet.
        ValueError: for an unknown policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"expected policy to be one of {', '.join(POLICIES)}, got {policy!r}")
    if not synsets:
        raise TreeError("expected at least one class with its synset, got none")
    parent: dict[str, str | None] = {}
    found: dict[str, Any] = {}
    for leaf, name in synsets.items():
        current = synset_by_id(wordnet, name, f"class {leaf!r}")
        while synset_id(current) not in parent:
            above = choose_parent(current, policy)
            found[synset_id(current)] = current
            parent[synset_id(current)] = None if above is None else synset_id(above)
            current = current if above is None else above
    leaf_parent: dict[str, str | None] = dict(synsets)
    if prune:
        _prune(parent, leaf_parent)
    names = _distinct_names(parent, found, synsets)
    nodes = [Node(key, names[key], above, synset=key) for key, above in sorted(parent.items())]
    nodes += [Node(leaf, leaf, leaf_parent[leaf], synset=synsets[leaf]) for leaf in synsets]
    return ClassTree.from_nodes(nodes, info or wordnet_info(), num_levels)


def wordnet_info(name: str = "wordnet") -> TreeInfo:
    """Returns the description of a tree that has no source but WordNet."""
    return TreeInfo(name=name, source="WordNet 3.0, Princeton University", licence="WordNet 3.0 license")


def choose_parent(synset: Any, policy: Policy) -> Any | None:
    """Returns the one hypernym that the policy makes the parent, or None at a root."""
    above = hypernyms(synset)
    if not above:
        return None
    if policy == "shortest":
        return min(above, key=lambda one: one.min_depth())
    if policy == "longest":
        return max(above, key=lambda one: one.max_depth())
    return above[0]


def _prune(parent: dict[str, str | None], leaf_parent: dict[str, str | None]) -> None:
    """Takes out, in place, every superclass with a single child; the child goes to the superclass above."""
    children = Counter([*parent.values(), *leaf_parent.values()])
    lone = {key for key in parent if children[key] == 1}

    def nearest_kept(key: str | None) -> str | None:
        while key in lone:
            key = parent[key]
        return key

    for table in (leaf_parent, parent):
        for key, above in table.items():
            table[key] = nearest_kept(above)
    for key in lone:
        del parent[key]


def _distinct_names(
    parent: Mapping[str, str | None], found: Mapping[str, Any], leaves: Mapping[str, str]
) -> dict[str, str]:
    """Names each superclass by its first lemma that nothing else is named by ("food" is two synsets)."""
    taken, names = {leaf.lower() for leaf in leaves}, {}
    for key in sorted(parent):
        lemmas = [lemma.replace("_", " ") for lemma in found[key].lemma_names()]
        free = [lemma for lemma in lemmas if lemma.lower() not in taken]
        names[key] = free[0] if free else f"{lemmas[0]} ({key})"
        taken.add(names[key].lower())
    return names
