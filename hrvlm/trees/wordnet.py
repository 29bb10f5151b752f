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
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hrvlm.trees.nodes import Node, TreeError, some
from hrvlm.trees.tree import ClassTree, TreeInfo
from hrvlm.trees.wordnet_data import closure, hypernyms, reading_wordnet, synset_by_id, synset_id

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

Policy = Literal["first", "shortest", "longest"]
POLICIES = ("first", "shortest", "longest")


def build_wordnet_tree(
    wordnet: WordNetCorpusReader,
    synsets: Mapping[str, str],
    *,
    policy: Policy = "longest",
    prune: bool = True,
    roots: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    num_levels: int | None = None,
    info: TreeInfo | None = None,
) -> ClassTree:
    """Builds a tree in which every leaf hangs below its synset and that synset's hypernyms.

    Classes may share a synset, and the synset of one may lie above that of another: each class is a leaf of its own,
    a child of its synset. A superclass has its synset's id, or ``synset/`` and that id where a class has it already.

    Args:
        wordnet: from `hrvlm.trees.wordnet_data.open_wordnet`.
        synsets: class name -> synset id such as ``n02084071``; the order is the leaf order.
        policy: which hypernym is the parent where there are several.
        prune: leave out superclasses with a single child.
        roots: synset ids to be the top nodes. A path ends at a root; of several hypernyms those count that lead to
            a root, and of these those that lead to the one named first. None lets all paths end at "entity".
        names: readable name of each class; None names every class by itself.
        num_levels: cut to at most this many levels, see `ClassTree.from_nodes`.
        info: name, source and licence; None says WordNet 3.0.

    Raises:
        TreeError: if there is no class, a synset id is not in WordNet, or a class lies below none of the roots.
        ValueError: for an unknown policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"expected policy to be one of {', '.join(POLICIES)}, got {policy!r}")
    if not synsets:
        raise TreeError("expected at least one class with its synset, got none")
    tops = [synset_id(synset_by_id(wordnet, name, "root")) for name in roots]
    parent: dict[str, str | None] = {}
    found: dict[str, Any] = {}
    for leaf, name in synsets.items():
        current = synset_by_id(wordnet, name, f"class {leaf!r}")
        if tops and not closure(current) & set(tops):
            raise TreeError(f"class {leaf!r} ({name}) lies below none of the roots {some(tops)}; add one for it")
        while synset_id(current) not in parent:
            above = choose_parent(current, policy, tops)
            found[synset_id(current)] = current
            parent[synset_id(current)] = None if above is None else synset_id(above)
            current = current if above is None else above
    leaf_parent: dict[str, str | None] = dict(synsets)
    if prune:
        _prune(parent, leaf_parent)
    names = names or {leaf: leaf for leaf in synsets}
    texts = _distinct_names(parent, found, {names[leaf] for leaf in synsets})
    ids: dict[str | None, str | None] = {key: f"synset/{key}" if key in synsets else key for key in parent}
    nodes = [Node(str(ids[key]), texts[key], ids.get(above), synset=key) for key, above in sorted(parent.items())]
    nodes += [Node(leaf, names[leaf], ids.get(leaf_parent[leaf]), synset=synsets[leaf]) for leaf in synsets]
    return ClassTree.from_nodes(nodes, info or wordnet_info(), num_levels)


def wordnet_info(name: str = "wordnet") -> TreeInfo:
    """Returns the description of a tree that has no source but WordNet."""
    return TreeInfo(name=name, source="WordNet 3.0, Princeton University", licence="WordNet 3.0 license")


def choose_parent(synset: Any, policy: Policy, roots: Sequence[str] = ()) -> Any | None:
    """Returns the one hypernym that policy and roots make the parent, or None at the top."""
    above = hypernyms(synset)
    if not above or synset_id(synset) in roots:
        return None
    for root in roots:
        leading = [one for one in above if root in closure(one)]
        if leading:
            above = leading
            break
    if policy == "first":
        return above[0]
    with reading_wordnet(f"what lies above {synset_id(synset)}"):
        depths = [one.min_depth() if policy == "shortest" else -one.max_depth() for one in above]
    return above[depths.index(min(depths))]


def _prune(parent: dict[str, str | None], leaf_parent: dict[str, str | None]) -> None:
    """Takes out, in place, every superclass with a single child; the child goes to the superclass above.

    A top node stays where its child is a class, which needs a superclass.
    """
    children = Counter([*parent.values(), *leaf_parent.values()])
    lone = {key for key in parent if children[key] == 1}

    def nearest_kept(key: str | None) -> str | None:
        last = key
        while key in lone:
            last, key = key, parent[key]
        return last if key is None else key

    for leaf, above in leaf_parent.items():
        leaf_parent[leaf] = nearest_kept(above)
    gone = lone - set(leaf_parent.values())
    nearest = {key: nearest_kept(above) for key, above in parent.items() if key not in gone}
    parent.clear()
    parent |= {key: None if above in gone else above for key, above in nearest.items()}


def _distinct_names(
    parent: Mapping[str, str | None], found: Mapping[str, Any], leaves: Collection[str]
) -> dict[str, str]:
    """Names each superclass by its first lemma that nothing else is named by, else with what it is a kind of.

    WordNet has several synsets "dish"; the second is then a "dish (nutriment)".
    """
    taken, names = {leaf.lower() for leaf in leaves}, {}
    for key in sorted(parent):
        lemmas = [lemma.replace("_", " ") for lemma in found[key].lemma_names()]
        above = [one.lemma_names()[0].replace("_", " ") for one in hypernyms(found[key])]
        choices = [*lemmas, *(f"{lemmas[0]} ({one})" for one in above), f"{lemmas[0]} ({key})"]
        names[key] = next(choice for choice in choices if choice.lower() not in taken)
        taken.add(names[key].lower())
    return names
