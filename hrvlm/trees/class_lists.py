"""Lists of classes: ids, readable names and WordNet synsets, read from whatever a user has at hand."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrvlm import shipped
from hrvlm.trees.bounded_text import load_json, read_text
from hrvlm.trees.files import load_tree, read_yaml
from hrvlm.trees.nodes import Node, TreeError, some
from hrvlm.trees.tree import ClassTree, TreeInfo
from hrvlm.trees.words import all_composed, composed, spoken, tell_spoken

FLAT_LEVEL = "class"
"""Name of the level of a tree of one."""
_SYNSET_ID = re.compile(r"[nvar]\d{8}")
_FORMS = "a folder of class folders, .txt (a class a line), .yaml, .json, or a tree file"


@dataclass(frozen=True)
class ClassList:
    """The classes of a data set, in its order.

    Attributes:
        ids: what the data set calls its classes; leaf ids of trees.
        names: readable name of each id; an id that has none is read as words, see `hrvlm.trees.words.spoken`.
        synsets: WordNet 3.0 synset of the ids that have one.
        origin: where the list was read.
    """

    ids: tuple[str, ...]
    names: dict[str, str] = field(default_factory=dict)
    synsets: dict[str, str] = field(default_factory=dict)
    origin: str = "<classes>"

    def __post_init__(self) -> None:
        """Fills in names and synsets; refuses an empty list and repeated ids or names."""
        if not self.ids:
            raise TreeError(f"{self.origin}: expected at least one class, found none")
        tell_spoken((key for key in self.ids if key not in self.names), self.origin)
        object.__setattr__(self, "names", {key: self.names.get(key, spoken(key)) for key in self.ids})
        own = {key: key for key in self.ids if _SYNSET_ID.fullmatch(key)}
        object.__setattr__(self, "synsets", own | self.synsets)
        for what, values in (("id", self.ids), ("name", tuple(name.lower() for name in self.names.values()))):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise TreeError(
                    f"{self.origin}: expected every class {what} once, {len(twice)} occur again: {some(twice)}; "
                    "classes with the same text cannot be told apart"
                )

    def find(self, text: str) -> str | None:
        """Returns the id of a class given by its id or by its name; None if there is no such class."""
        return text if text in self.names else self._by_name.get(text)

    @property
    def _by_name(self) -> dict[str, str]:
        return {name: key for key, name in self.names.items()}


def read_classes(path: str | Path) -> ClassList:
    """Reads a list of classes.

    Accepted are a folder with one sub-folder per class (the ids are the folder names, sorted); a ``.txt`` file with a
    class id a line and, after a tab, its name; a ``.json`` list of ids; a ``.yaml`` or ``.json`` mapping from id to
    name, to synset id, or to ``{name, synset}``; and a tree file, whose leaves count. An id that has the form of a
    synset id (``n02084071``) is its own synset.

    Raises:
        TreeError: if the file is absent or malformed, lists no class, or one twice.
    """
    path = shipped.find(path)
    if path.is_dir():
        return ClassList(tuple(class_folders(path)), origin=str(path))
    if not path.is_file():
        raise TreeError(f"{path}: no such list of classes; expected {_FORMS}")
    if path.suffix == ".txt":
        return _from_lines(path)
    if path.suffix == ".json":
        content = read_json(path)
    elif path.suffix in (".yaml", ".yml"):
        content = read_yaml(path)
    else:
        raise TreeError(f"{path}: expected {_FORMS}, got the ending {path.suffix!r}")
    if isinstance(content, dict) and "nodes" in content:
        tree = load_tree(path)
        found = {leaf: tree.nodes[leaf] for leaf in tree.leaves}
        synsets = {key: node.synset for key, node in found.items() if node.synset is not None}
        return ClassList(tree.leaves, {key: node.name for key, node in found.items()}, synsets, str(path))
    return _from_content(content, str(path))


def flat_tree(classes: ClassList, info: TreeInfo) -> ClassTree:
    """A tree of one level: the classes themselves."""
    return ClassTree.from_nodes([Node(key, name, None) for key, name in classes.names.items()], info)


def class_folders(folder: str | Path) -> dict[str, Path]:
    """The folders of classes in a folder, by class id, in the order of the ids; hidden ones are none.

    A class id is a folder's name in composed Unicode, whatever form the file system keeps.

    Raises:
        TreeError: if two names are the same but for their form.
    """
    folders = [entry for entry in Path(folder).iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    found = {composed(entry.name): entry for entry in folders}
    if len(found) < len(folders):
        twice = [name for name, count in Counter(composed(entry.name) for entry in folders).items() if count > 1]
        raise TreeError(f"{folder}: expected folders with different names, got the same letters twice: {some(twice)}")
    return dict(sorted(found.items()))


def read_json(path: str | Path) -> Any:
    """Reads a JSON file in which no object has a key twice.

    Raises:
        TreeError: one sentence with the place of the fault.
    """
    try:
        return all_composed(load_json(read_text(path)))
    except FileNotFoundError:
        raise TreeError(f"{path}: no such JSON file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TreeError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    except json.JSONDecodeError as error:
        raise TreeError(
            f"{path}: not valid JSON: {error}; the file must hold one JSON value and no text around it"
        ) from error
    except ValueError as error:
        raise TreeError(f"{path}: {error}") from error


def _from_lines(path: Path) -> ClassList:
    """Reads one class a line, with its name after a tab; blank lines and lines that begin with # are skipped."""
    try:
        text = composed(read_text(path))
    except (OSError, ValueError) as error:
        raise TreeError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.split("\t") for line in lines if line and not line.startswith("#")]
    long = [pair[0] for pair in pairs if len(pair) > 2]
    if long:
        raise TreeError(f"{path}: expected a class id and at most a name after one tab, got more for {some(long)}")
    names = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
    return ClassList(tuple(pair[0].strip() for pair in pairs), names, origin=str(path))


def _from_content(content: Any, where: str) -> ClassList:
    """Builds the list from a JSON list, or from a mapping."""
    if isinstance(content, list):
        content = dict.fromkeys(content) if _all_text(content, where) and len(set(content)) == len(content) else content
    if isinstance(content, list):
        return ClassList(tuple(content), origin=where)  # raises: an id is given twice
    if not isinstance(content, dict):
        raise TreeError(f"{where}: expected a list of class ids or a mapping from them, got {content!r:.60}")
    if isinstance(content.get("leaves"), dict):  # a mapping file of `hrvlm.trees.grouped`
        content = content["leaves"]
    names: dict[str, str] = {}
    synsets: dict[str, str] = {}
    for key, value in content.items():
        entry = _entry(value)
        if entry is None:
            raise TreeError(
                f"{where}: class {key!r}: expected a name, a synset id, or a mapping with 'name' and 'synset', "
                f"got {value!r}"
            )
        names |= {key: entry["name"]} if "name" in entry else {}
        synsets |= {key: entry["synset"]} if "synset" in entry else {}
    return ClassList(tuple(content), names, synsets, where)


def _entry(value: Any) -> dict[str, str] | None:
    """Returns what a mapping says of a class, None if it cannot be understood."""
    if value is None:
        return {}
    if isinstance(value, str) and value.strip():
        return {"synset": value} if _SYNSET_ID.fullmatch(value) else {"name": value}
    if isinstance(value, dict) and set(value) <= {"name", "synset"} and all(isinstance(x, str) for x in value.values()):
        return value
    return None


def _all_text(items: list[Any], where: str) -> bool:
    """Raises TreeError unless every item is text."""
    odd = [item for item in items if not isinstance(item, str)]
    if odd:
        raise TreeError(f"{where}: expected class ids as text, got {odd[0]!r:.60}")
    return True
