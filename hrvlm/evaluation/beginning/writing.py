"""Commented configurations for pictures that were looked at; each runs as it is."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hrvlm.evaluation.beginning import texts
from hrvlm.evaluation.beginning.looking import Look
from hrvlm.trees import ClassTree, TreeInfo, save_tree
from hrvlm.trees.class_lists import FLAT_LEVEL, flat_tree
from hrvlm.trees.words import printable
from hrvlm.whole_files import check_place, write_whole

_PLACE = re.compile("«([a-z]+)»")


def write_configuration(found: Look, task: texts.Task, output: Path, model: str) -> str:
    """Writes a configuration, and the tree that training needs beside it.

    Args:
        found: The pictures.
        task: What is to be done with them.
        output: File of the configuration; no file may be there.
        model: What the command that is told takes as its checkpoint, or training starts from.

    Returns:
        The command that runs it.

    Raises:
        ValueError: If something is there already, or the task does not go with the pictures.
    """
    tree = output.with_name(f"{output.stem}_tree.yaml")
    for path in (output, *((tree,) if task == "train" else ())):
        if path.exists():
            raise ValueError(f"expected no file at {path}, got one: it is kept, choose another --output")
    check_place(output.parent)
    parts = {"source": _quoted(found.source), "words": printable(found.words)}
    parts |= {"model": printable(shlex.quote(model)), "file": printable(shlex.quote(str(output)))}
    chosen = texts.TEXTS[task]
    text, command = _filled(chosen, _PARTS[chosen](found, model, parts | {"tree": _quoted(str(tree))}))
    if task == "train":
        save_tree(_flat(found), tree)
    write_whole(output, text)
    return command


def _certify(found: Look, model: str, parts: dict[str, str]) -> dict[str, str]:
    return parts | {"split": _split(found), "classes": _classes(found), "images": str(min(found.size, 100))}


def _zero_shot(found: Look, model: str, parts: dict[str, str]) -> dict[str, str]:
    if not found.labelled:
        raise ValueError(
            f"expected a label for every picture of {found.source}, where accuracy is asked, got some without: "
            "--task certify needs none"
        )
    return parts | {"split": _split(found), "classes": _classes(found)}


def _oracle(found: Look, model: str, parts: dict[str, str]) -> dict[str, str]:
    names = [f"        - {_quoted(name)}" for name in found.classes.names.values()]
    return parts | {"split": _split(found), "names": "\n".join(names), "images": str(min(found.size, 20))}


def _train(found: Look, model: str, parts: dict[str, str]) -> dict[str, str]:
    if found.kind not in ("class folders", "splits") or not found.labelled or found.given is not None:
        raise ValueError(
            f"expected class folders, or train and val folders of such, for --task train, got {found.words}; "
            "docs/data.md tells of training on other pictures"
        )
    named_whole = Path(model).exists() or ":" in model  # a folder, or one of the hub, has its weights
    name, _, tag = (model, "", "") if named_whole else model.partition("/")
    root = Path(found.source)
    train = root if found.training is None else root / found.training
    evaluated = root if found.split is None else root / found.split
    return parts | {
        "name": _quoted(name),
        "pretrained": _quoted(tag or None),
        "train": _quoted(str(train)),
        "evaluated": _quoted(str(evaluated)),
        "apart": texts.SAME if train == evaluated else texts.APART,
        "images": str(min(found.size, 200)),
    }


_PARTS: Mapping[texts.Text, Callable[[Look, str, dict[str, str]], dict[str, str]]] = {
    texts.CERTIFY: _certify,
    texts.TRAIN: _train,
    texts.ZERO_SHOT: _zero_shot,
    texts.ORACLE: _oracle,
}


def _filled(text: texts.Text, parts: Mapping[str, str]) -> tuple[str, str]:
    """The configuration and its command, with what was found in place of words in «»."""
    command = _PLACE.sub(lambda place: parts[place[1]], text.command)
    found = {**parts, "command": command}
    return _PLACE.sub(lambda place: found[place[1]], text.body), command


def _quoted(value: Any) -> str:
    """A value as YAML has it, whatever is in it."""
    return json.dumps(value, ensure_ascii=False)


def _split(found: Look) -> str:
    return "# split: val" if found.split is None else f"split: {_quoted(found.split)}"


def _classes(found: Look) -> str:
    names = _quoted(found.given)
    if found.given is None:
        return f"# classes: {_quoted('one, another')} # others than those of the data; also a file, or a tree"
    if not found.labelled:
        return f"classes: {names} # EXAMPLES: put in what your pictures may show"
    return f"classes: {names}"


def _flat(found: Look) -> ClassTree:
    """A tree of one level."""
    source, told = f"class folders of {found.source}", "One level: the classes themselves."
    return flat_tree(
        found.classes, TreeInfo(name="classes", source=source, description=told, level_names=(FLAT_LEVEL,))
    )
