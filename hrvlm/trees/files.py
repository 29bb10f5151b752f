"""Class trees as YAML files: `load_tree` checks everything it reads, `save_tree` writes the same bytes every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hrvlm import shipped
from hrvlm.trees.bounded_text import read_text
from hrvlm.trees.nodes import DEFAULT_TEMPLATE, Node, TreeError, some
from hrvlm.trees.strict_text import load_yaml
from hrvlm.trees.tree import ClassTree, TreeInfo
from hrvlm.trees.words import all_composed, spoken, tell_spoken
from hrvlm.whole_files import whole_file

TREE_KEYS = ("name", "description", "source", "licence", "template", "levels", "nodes")
NEEDED_KEYS = ("name", "source", "licence", "nodes")
NODE_KEYS = ("parent", "name", "synset", "prompt")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML mapping whose keys are text and occur once.

    Raises:
        TreeError: if the file is absent, unreadable, malformed, or not such a mapping.
    """
    path = shipped.find(path)
    try:
        text = read_text(path)
    except FileNotFoundError:
        known = ", ".join(shipped.names("trees"))
        raise TreeError(f"{path}: no such tree file; give the path of a YAML file or a shipped tree: {known}") from None
    except (OSError, ValueError) as error:
        raise TreeError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    try:
        content = all_composed(load_yaml(text))
    except (yaml.YAMLError, ValueError) as error:
        raise TreeError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        raise TreeError(f"{path}: the file is empty; expected the keys {', '.join(TREE_KEYS)}")
    return _mapping(content, str(path), "the file")


def load_tree(path: str | Path, num_levels: int | None = None) -> ClassTree:
    """Reads and validates one tree file; the format is described in ``trees/README.md``.

    Args:
        path: YAML file, or the name of a tree that comes with the package, such as "emoji_unicode".
        num_levels: cut to at most this many levels, leaves included (rule: `hrvlm.trees.structure`).

    Raises:
        TreeError: one sentence naming the file, the node and what to mend.
        ValueError: if ``num_levels`` is below 1.
    """
    where = str(path)
    named = None if Path(path).exists() else shipped.named(path, "trees")
    content = read_yaml(named or path)
    _check_keys(content, TREE_KEYS, where, "the tree")
    missing = [key for key in NEEDED_KEYS if key not in content]
    if missing:
        raise TreeError(f"{where}: expected the keys {', '.join(NEEDED_KEYS)}, missing {', '.join(missing)}")
    raw_nodes = content["nodes"] if content["nodes"] is not None else {}
    nodes = [_node(key, value, where) for key, value in _mapping(raw_nodes, where, "'nodes'").items()]
    tell_spoken((node.id for node in nodes if "name" not in raw_nodes[node.id]), where)
    levels = content.get("levels")
    if levels is not None and not (isinstance(levels, list) and all(isinstance(name, str) for name in levels)):
        raise TreeError(f"{where}: expected 'levels' to be a list of names from the leaves up, got {levels!r}")
    info = TreeInfo(
        name=_text(content, "name", where, "the tree"),
        source=_text(content, "source", where, "the tree"),
        licence=_text(content, "licence", where, "the tree"),
        description=_text(content, "description", where, "the tree", ""),
        template=_text(content, "template", where, "the tree", DEFAULT_TEMPLATE),
        level_names=None if levels is None else tuple(levels),
        origin=where,
    )
    return ClassTree.from_nodes(nodes, info, num_levels)


def save_tree(tree: ClassTree, path: str | Path) -> None:
    """Writes a tree as YAML; the same tree gives the same bytes.

    All nodes above the leaves are written with their own parents, so a cut to fewer levels is not part of the file.
    """
    info = tree.info
    head = {"name": info.name, "description": info.description}
    head |= {"source": info.source, "licence": info.licence, "template": info.template}
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False)
    if info.level_names is not None:
        names = {"levels": list(info.level_names)}
        text += yaml.safe_dump(names, allow_unicode=True, width=110, default_flow_style=None)
    nodes = {node.id: _entry(node) for node in tree.nodes.values()}
    lines = [f"  {_scalar(key)}: {_inline(entry)}\n" for key, entry in nodes.items()]
    with whole_file(path) as new:
        new.write_text(text + "nodes:\n" + "".join(lines), encoding="utf-8", newline="\n")


def _node(key: str, value: Any, where: str) -> Node:
    """Builds one node from its entry."""
    what = f"node {key!r}"
    entry = _mapping(value, where, what)
    _check_keys(entry, NODE_KEYS, where, what)
    if "parent" not in entry:
        raise TreeError(f"{where}: {what} has no 'parent'; write 'parent: null' for a top node")
    parent = entry["parent"]
    if isinstance(parent, list):
        raise TreeError(f"{where}: {what} has {len(parent)} parents {parent}; a tree needs exactly one, choose it")
    if parent is not None and not isinstance(parent, str):
        raise TreeError(f"{where}: {what}: expected the parent to be a node id in quotes or null, got {parent!r}")
    texts = {name: _text(entry, name, where, what) if name in entry else None for name in ("prompt", "synset")}
    return Node(key, _text(entry, "name", where, what, spoken(key)), parent, texts["prompt"], texts["synset"])


def _entry(node: Node) -> dict[str, str | None]:
    """Returns the file entry of a node, leaving out what the reader fills in."""
    entry: dict[str, str | None] = {"parent": node.parent}
    if node.name != node.id or spoken(node.id) != node.id:  # else the reader fills it in, and says nothing
        entry["name"] = node.name
    optional = {"synset": node.synset, "prompt": node.prompt}
    return entry | {key: value for key, value in optional.items() if value is not None}


def _scalar(value: str | None) -> str:
    """Returns one YAML scalar on one line, quoted where YAML needs it."""
    text: str = yaml.safe_dump([value], allow_unicode=True, width=10**9, default_flow_style=True)
    return text.strip()[1:-1]


def _inline(entry: dict[str, str | None]) -> str:
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in entry.items()) + "}"


def _mapping(value: Any, where: str, what: str) -> dict[str, Any]:
    """Returns the value if it is a mapping with text keys."""
    if not isinstance(value, dict):
        raise TreeError(f"{where}: expected {what} to be a mapping, got {value!r}")
    odd = [key for key in value if not isinstance(key, str)]
    if odd:
        raise TreeError(f"{where}: {what} has the key {odd[0]!r}, which YAML does not read as text; put it in quotes")
    return value


def _check_keys(entry: dict[str, Any], known: tuple[str, ...], where: str, what: str) -> None:
    """Raises TreeError for a key that the format does not know."""
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise TreeError(f"{where}: {what} has the unknown key {some(unknown)}; known are {', '.join(known)}")


def _text(entry: dict[str, Any], key: str, where: str, what: str, default: str | None = None) -> str:
    """Returns a text value of an entry, or the default where the key is absent."""
    value = entry.get(key, default)
    if not isinstance(value, str) or (not value.strip() and value != default):
        raise TreeError(f"{where}: {what}: expected {key!r} to be text in quotes, got {value!r}")
    return value
