"""Trees with reviewed superclasses: readable groups, each checked against WordNet 3.0.

Cut straight from WordNet, a tree has superclasses such as "instrumentality" and a "placental" with forty children. Here
a mapping file lists the superclasses, and WordNet says which leaf belongs to which:

* a finest superclass is a union of synsets (``synsets``); a leaf belongs to the ONE finest superclass that has the
  leaf's synset or one of its hypernyms, along any path; none or several is an error, never a guess;
* a higher superclass gathers others (``parent``). Where it gives a ``synset``, every leaf below must lie below it.

Format: the keys of a tree file, with ``superclasses: {id: {parent, name?, prompt?, synset? | synsets?}}`` and
``leaves: {class name: synset id}`` in place of ``nodes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlm.trees.files import read_yaml, save_tree
from hrvlm.trees.nodes import Node, TreeError, some
from hrvlm.trees.structure import check_links, path_to_top
from hrvlm.trees.tree import ClassTree, TreeInfo
from hrvlm.trees.wordnet_data import closure, synset_by_id
from hrvlm.trees.words import spoken

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

_HEAD = ("name", "description", "source", "licence", "template")
_KEYS = (*_HEAD, "levels", "superclasses", "leaves")
_SUPERCLASS_KEYS = ("parent", "name", "prompt", "synset", "synsets")


def build_grouped_tree(path: str | Path, wordnet: WordNetCorpusReader) -> ClassTree:
    """Builds the tree that a mapping file describes.

    Args:
        path: YAML mapping file, see the module.
        wordnet: from `hrvlm.trees.wordnet_data.open_wordnet`.

    Raises:
        TreeError: if the file is malformed, a synset is not in WordNet, a leaf belongs to no finest superclass or to
            several, or lies outside the synset of a superclass above it.
    """
    where = str(path)
    content = read_yaml(path)
    odd = [key for key in content if key not in _KEYS] + [key for key in _KEYS if key not in content]
    if odd:
        raise TreeError(f"{where}: expected exactly the keys {', '.join(_KEYS)}; unknown or missing: {some(odd)}")
    superclasses: dict[str, dict[str, Any]] = content["superclasses"]
    owners = _owners(superclasses, wordnet, where)
    nodes = [_superclass(key, entry, where) for key, entry in superclasses.items()]
    above: dict[str, set[str]] = {}
    for leaf, name in content["leaves"].items():
        above[leaf] = closure(synset_by_id(wordnet, name, f"{where}: leaf {leaf!r}"))
        matches = sorted({owners[one] for one in above[leaf] if one in owners})
        if len(matches) != 1:
            found = some(matches) if matches else "none"
            raise TreeError(f"{where}: leaf {leaf!r} ({name}) belongs to {found}; expected one finest superclass")
        nodes.append(Node(leaf, leaf, matches[0], synset=name))
    table = {node.id: node for node in nodes}
    _check_used(superclasses, table, where)
    check_links(table, where)
    _check_synsets(table, above, where)
    info = TreeInfo(**{key: content[key] for key in _HEAD}, level_names=tuple(content["levels"]), origin=where)
    return ClassTree.from_nodes(nodes, info)


def rebuild_file(source: str | Path, target: str | Path, wordnet: WordNetCorpusReader) -> ClassTree:
    """Builds the tree of a mapping file and writes it as a tree file; the same input gives the same bytes."""
    tree = build_grouped_tree(source, wordnet)
    save_tree(tree, target)
    return tree


def _superclass(key: str, entry: Mapping[str, Any], where: str) -> Node:
    """Returns the node of a superclass."""
    unknown = [name for name in entry if name not in _SUPERCLASS_KEYS]
    if unknown or "parent" not in entry:
        raise TreeError(
            f"{where}: superclass {key!r}: expected 'parent' and no keys but {', '.join(_SUPERCLASS_KEYS)}; "
            f"got {', '.join(entry)}"
        )
    listed = entry.get("synsets", [])
    synset = entry.get("synset", listed[0] if len(listed) == 1 else None)
    return Node(key, entry.get("name", spoken(key)), entry["parent"], entry.get("prompt", None), synset)


def _owners(superclasses: Mapping[str, Mapping[str, Any]], wordnet: WordNetCorpusReader, where: str) -> dict[str, str]:
    """Returns synset id -> the one finest superclass that lists it."""
    owners: dict[str, str] = {}
    for key, entry in superclasses.items():
        for name in entry.get("synsets", []):
            synset_by_id(wordnet, name, f"{where}: superclass {key!r}")
            if name in owners:
                raise TreeError(f"{where}: synset {name!r} is listed by {owners[name]!r} and by {key!r}; choose one")
            owners[name] = key
    return owners


def _check_synsets(nodes: Mapping[str, Node], above: Mapping[str, set[str]], where: str) -> None:
    """Raises TreeError if a leaf lies below a superclass but not below that superclass's synset."""
    for leaf, ids in above.items():
        for key in path_to_top(nodes, leaf)[1:]:
            synset = nodes[key].synset
            if synset is not None and synset not in ids:
                raise TreeError(f"{where}: leaf {leaf!r} is below {key!r}, but not below its synset {synset}")


def _check_used(superclasses: Mapping[str, Any], nodes: Mapping[str, Node], where: str) -> None:
    """Raises TreeError for a superclass that no leaf belongs to."""
    parents = {node.parent for node in nodes.values()}
    unused = [key for key in superclasses if key not in parents]
    if unused:
        raise TreeError(f"{where}: superclass {some(unused)} has no leaf; remove it or mend its synsets")
