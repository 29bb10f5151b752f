"""Which classes pictures are sorted into, and in which words the classes are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hrvlm import shipped
from hrvlm.data.names import imagenet_ids, imagenet_names
from hrvlm.data.zero_shot.templates import imagenet
from hrvlm.trees.bounded_text import read_text
from hrvlm.trees.class_lists import ClassList, read_classes
from hrvlm.trees.words import all_composed
from hrvlm.whole_files import reason

TECOA = ("This is a photo of a {}.",)
"""The template of Mao et al., ICLR 2023 (arXiv 2212.07016)."""
LEAST = 2


class KnownClasses(Protocol):
    """What pictures of any source, opened or not, say of their classes."""

    @property
    def name(self) -> str:
        """What tables call the pictures."""

    @property
    def class_ids(self) -> Sequence[str] | None:
        """Ids of the classes; None where nobody knows."""

    @property
    def class_names(self) -> Sequence[str] | None:
        """The classes in words; None where nobody knows."""


class KnownTemplates(Protocol):
    """Pictures that may come with prompts."""

    @property
    def templates(self) -> tuple[str, ...] | None:
        """Prompts with "{}" for the class; None where nobody has published any."""


def chosen_classes(given: str | Sequence[str] | None, data: KnownClasses | None = None) -> ClassList:
    """The classes that pictures are sorted into.

    Args:
        given: Names with commas between them, or as a list; a file or folder that lists classes, see
            `hrvlm.trees.class_lists.read_classes`; a tree by its file or name, whose leaves count; "imagenet" for the
            1,000 of ImageNet; None for the data's own classes.
        data: Pictures that may know their classes.

    Raises:
        ValueError: In one sentence, if there are fewer than two classes, or one twice, or nobody names any.
    """
    found = _own(data) if given is None else _named(given)
    if len(found.ids) < LEAST:
        raise ValueError(
            f"expected at least {LEAST} classes in {found.origin}, got {len(found.ids)}: nothing else could win"
        )
    return found


def _own(data: KnownClasses | None) -> ClassList:
    if data is None or data.class_ids is None:
        name = "data" if data is None else data.name
        raise ValueError(
            f'expected classes, since the pictures of {name} do not name any: give --classes "one, another", a file '
            "with a class a line, or a tree"
        )
    names = data.class_names or data.class_ids
    return ClassList(tuple(data.class_ids), dict(zip(data.class_ids, names, strict=True)), origin=data.name)


def _named(given: str | Sequence[str]) -> ClassList:
    if not isinstance(given, str):
        return _of_names(given)
    path = shipped.find(given)
    if given == "imagenet" and not path.exists():
        return ClassList(tuple(imagenet_ids()), imagenet_names(), origin=given)
    if path.exists():
        return read_classes(path)
    tree = shipped.named(given, "trees")
    if tree is not None:
        return read_classes(tree)
    if "," not in given and (path.suffix or len(path.parts) > 1):
        return read_classes(path)  # raises: it is missing
    if "," not in given:
        raise ValueError(
            f"expected at least {LEAST} classes with commas between them, a file or folder that lists them, or a tree, "
            f"got {given!r}, which is one name and no file"
        )
    return _of_names(given.split(","))


def _of_names(names: Sequence[str]) -> ClassList:
    ids = tuple(name.strip() for name in all_composed(list(names)) if name.strip())
    return ClassList(ids, dict(zip(ids, ids, strict=True)), origin="classes")


def chosen_templates(given: str | Sequence[str] | None, data: KnownTemplates | None = None) -> tuple[str, ...] | None:
    """Prompts with "{}" for the class.

    Args:
        given: "tecoa" for "This is a photo of a {}."; "openai" for those that the authors of CLIP published for the
            data, or else their 80 for ImageNet; a text file with one template a line; a template, or a list of some;
            None chooses none.
        data: Pictures that may come with templates.

    Raises:
        ValueError: In one sentence, if a template has not exactly one "{}", or the file is missing or empty.
    """
    if given is None:
        return None
    if given == "tecoa":
        return TECOA
    if given == "openai":
        return imagenet() if data is None or data.templates is None else data.templates
    if not isinstance(given, str):
        return _checked(given, "templates")
    return _checked([given], "templates") if "{}" in given else _checked(_lines(given), given)


def _lines(path: str) -> list[str]:
    try:
        text = read_text(Path(path))
    except (OSError, ValueError) as error:
        raise ValueError(
            f'expected templates as "tecoa", "openai", a template with {{}} for the class, or a text file with one a '
            f"line, got {path!r}: {reason(error) if isinstance(error, OSError) else error}"
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _checked(templates: Sequence[str], where: str) -> tuple[str, ...]:
    found = tuple(all_composed(list(templates)))
    wrong = [template for template in found if template.count("{}") != 1]
    if wrong or not found:
        shown = repr(wrong[0]) if wrong else "none"
        raise ValueError(f'expected templates with exactly one "{{}}" for the class in {where}, got {shown}')
    return found
