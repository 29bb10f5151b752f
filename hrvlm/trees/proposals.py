"""Superclass proposals: trees in a JSON form that a language model can be asked for, imported only if they are whole.

::

    {"name": "zoo_by_home", "source": "proposed by ..., reviewed by ...", "licence": "CC0-1.0",
     "description": "one sentence", "levels": ["class", "home", "realm"],
     "groups": [
       {"name": "pet", "prompt": "a picture of a pet", "leaves": ["cat", "dog"]},
       {"name": "wild animal", "groups": [
         {"name": "forest animal", "leaves": ["fox"]},
         {"name": "water animal", "leaves": ["otter", "pike"]}]}]}

``name``, ``source``, ``licence`` and ``groups`` are needed; ``description``, ``template`` and ``levels`` are those of
a tree file, and ``prompt`` that of a node. A group has either ``leaves`` or ``groups``. A leaf is given by its class id
or by its name in the list of classes. Every class must be in exactly one group; group names must differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrvlm.trees.class_lists import ClassList, read_json
from hrvlm.trees.nodes import DEFAULT_TEMPLATE, Node, TreeError, some
from hrvlm.trees.tree import ClassTree, TreeInfo

HEAD = ("name", "description", "source", "licence", "template", "levels")
GROUP_KEYS = ("name", "prompt", "groups", "leaves")


@dataclass
class _Found:
    """What walking through the groups has gathered: their nodes, and where each mentioned leaf is."""

    nodes: list[Node] = field(default_factory=list)
    mentions: list[tuple[str, str]] = field(default_factory=list)  # (leaf as written, id of its group)


def import_proposal(path: str | Path, classes: ClassList, **head: str) -> ClassTree:
    """Builds the tree that a proposal describes.

    Args:
        path: JSON file, see the module.
        classes: The classes; their order is the leaf order.
        head: Values for ``name``, ``description``, ``source``, ``licence`` or ``template`` that replace the file's.

    Raises:
        TreeError: one sentence that names every kind of fault with its first offenders and their number.
    """
    where = str(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise TreeError(f"{where}: expected a JSON object with 'groups', got {content!r:.60}")
    content = content | head
    _check_head(content, where)
    found = _Found()
    _walk(content["groups"], None, found, where)
    names = [node.name for node in found.nodes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TreeError(f"{where}: expected every group name once, {len(twice)} occur again: {some(twice)}")
    parent = _place(found, classes, where)
    leaves = [Node(key, classes.names[key], parent[key], synset=classes.synsets.get(key)) for key in classes.ids]
    return ClassTree.from_nodes([*found.nodes, *leaves], _info(content, where))


def _check_head(content: dict[str, Any], where: str) -> None:
    """Raises TreeError for a missing, unknown or malformed key of the whole proposal."""
    unknown = [key for key in content if key not in (*HEAD, "groups")]
    missing = [key for key in ("name", "source", "licence", "groups") if key not in content]
    if unknown or missing:
        said = [f"missing {some(missing)}"] if missing else []
        said += [f"unknown {some(unknown)}"] if unknown else []
        raise TreeError(f"{where}: expected the keys {', '.join((*HEAD, 'groups'))}; {'; '.join(said)}")
    odd = [key for key in HEAD[:-1] if key in content and not _is_text(content[key])]
    if odd:
        raise TreeError(f"{where}: expected {odd[0]!r} to be text, got {content[odd[0]]!r:.60}")
    levels = content.get("levels")
    if levels is not None and not (isinstance(levels, list) and all(map(_is_text, levels))):
        raise TreeError(f"{where}: expected 'levels' to be a list of names from the leaves up, got {levels!r:.60}")


def _walk(groups: Any, parent: str | None, found: _Found, where: str) -> None:
    """Gathers the nodes and leaves of a list of groups and of everything below them."""
    place = "'groups'" if parent is None else f"'groups' of {parent.removeprefix('group/')!r}"
    if not isinstance(groups, list) or not groups:
        raise TreeError(f"{where}: expected {place} to be a list of at least one group, got {groups!r:.60}")
    for group in groups:
        name = _group_name(group, place, where)
        node = Node(f"group/{name}", name, parent, group.get("prompt"))
        found.nodes.append(node)
        if "groups" in group:
            _walk(group["groups"], node.id, found, where)
            continue
        leaves = group["leaves"]
        if not isinstance(leaves, list) or not leaves or not all(map(_is_text, leaves)):
            raise TreeError(f"{where}: group {name!r}: expected at least one leaf, as text, got {leaves!r:.60}")
        found.mentions += [(leaf, node.id) for leaf in leaves]


def _group_name(group: Any, place: str, where: str) -> str:
    """Returns a group's name, having checked its keys."""
    if not isinstance(group, dict) or not _is_text(group.get("name")):
        raise TreeError(f"{where}: {place}: expected every group to be an object with a 'name', got {group!r:.60}")
    name: str = group["name"]
    unknown = [key for key in group if key not in GROUP_KEYS]
    if unknown:
        raise TreeError(
            f"{where}: group {name!r} has the unknown key {some(unknown)}; known are {', '.join(GROUP_KEYS)}"
        )
    if ("groups" in group) == ("leaves" in group):
        raise TreeError(f"{where}: group {name!r}: expected either 'leaves' or 'groups', got both or neither")
    if "prompt" in group and not _is_text(group["prompt"]):
        raise TreeError(f"{where}: group {name!r}: expected 'prompt' to be text, got {group['prompt']!r:.60}")
    return name


def _place(found: _Found, classes: ClassList, where: str) -> dict[str, str]:
    """Returns the group of each class, if every class is in exactly one."""
    parent: dict[str, str] = {}
    unknown, twice = [], []
    for text, group in found.mentions:
        key = classes.find(text)
        if key is None:
            unknown.append(text)
        elif key in parent:
            first, second = parent[key].removeprefix("group/"), group.removeprefix("group/")
            twice.append(f"{text} (in {first} and {second})" if first != second else f"{text} (twice in {first})")
        else:
            parent[key] = group
    missing = [classes.names[key] for key in classes.ids if key not in parent]
    faults = list(_faults(unknown, twice, missing, len(classes.ids), classes.origin))
    if faults:
        raise TreeError(f"{where}: {'; '.join(faults)}; mend the proposal or ask for it again")
    return parent


def _faults(unknown: list[str], twice: list[str], missing: list[str], count: int, origin: str) -> Iterator[str]:
    """Yields what is wrong with a proposal's leaves, each kind with its first offenders and number."""
    if missing:
        yield f"{len(missing)} of {count} classes are in no group: {some(missing)}"
    if unknown:
        yield f"{len(unknown)} leaves are not classes of {origin}: {some(unknown)}"
    if twice:
        yield f"{len(twice)} leaves are given more than once: {some(twice)}"


def _info(content: dict[str, Any], where: str) -> TreeInfo:
    levels = content.get("levels")
    return TreeInfo(
        name=content["name"],
        source=content["source"],
        licence=content["licence"],
        description=content.get("description", ""),
        template=content.get("template", DEFAULT_TEMPLATE),
        level_names=None if levels is None else tuple(levels),
        origin=where,
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
