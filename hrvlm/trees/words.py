"""Words of users: in Unicode's composed form, put into templates literally, and shown without control characters."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

_FILE_NAME = re.compile(r"\w(?:[\w .+-]*[\w+-])?")  # no separators, no dot at either end
_FILE_NAME_BYTES = 100
_log = logging.getLogger(__name__)
# Where a word begins inside another, as in "GoldenRetriever" and "BMWCar" but not in "iPod" or "McDonald".
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
# Marks that change the direction of what follows: text would be shown in another order than it is stored in.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


def composed(text: str) -> str:
    """The text in composed form (NFC), so that names from file systems that decompose letters match typed ones."""
    return unicodedata.normalize("NFC", text)


def all_composed(value: Any) -> Any:
    """Lists and mappings of plain values with every text in composed form.

    Raises:
        ValueError: If two keys of a mapping are the same but for their form.
    """
    if isinstance(value, str):
        return composed(value)
    if isinstance(value, list):
        return [all_composed(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {all_composed(key): all_composed(item) for key, item in value.items()}
    if len(found) < len(value):
        twice = [key for key in value if isinstance(key, str) and composed(key) != key]
        raise ValueError(f"the key {twice[0]!r} is given twice, in two forms of Unicode")
    return found


def printable(text: str) -> str:
    r"""The text on one line with control characters written out, as `\x1b`: a terminal does nothing but show it."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if character in _DIRECTIONS or unicodedata.category(character) in _UNPRINTABLE
        else character
        for character in text
    )


def shortened(name: str, most: int) -> str:
    """A name on one line with control characters written out, of at most so many characters."""
    text = printable(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def file_name(name: str) -> str:
    """A name as part of a file name: itself if it may be one everywhere, else a short form that no other name has."""
    if _FILE_NAME.fullmatch(name) and len(name.encode()) <= _FILE_NAME_BYTES:
        return name
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[:40]
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}".lstrip("-")


def with_name(template: str, name: str) -> str:
    """The template with a name in place of "{}"; other braces stay as they are, in both."""
    return template.replace("{}", name)


def spoken(class_id: str) -> str:
    """Words that a class id stands for, as "golden retriever" for `golden_retriever` and `GoldenRetriever`.

    Text encoders have learned words, and score ids of this form far lower. An id with a space is words already.
    """
    if any(character.isspace() for character in class_id):
        return class_id
    return " ".join(_CAMEL.sub(" ", class_id.replace("_", " ").replace("-", " ")).split()) or class_id


def looks_like_id(text: str) -> bool:
    """Whether a text that should be words looks like an identifier; a hyphen alone may belong to a word."""
    return "_" in text or bool(_CAMEL.search(text))


def tell_spoken(class_ids: Iterable[str], where: str) -> None:
    """Says, once for a file or folder, that names are made from ids, if any differ from them."""
    changed = [class_id for class_id in class_ids if spoken(class_id) != class_id]
    if changed:
        _tell(f"{where}: no names are given for {len(changed)} ids, which are read as words: {_pairs(changed)}")


def tell_ids(texts: Iterable[str], where: str) -> None:
    """Warns, once for a file, of names and prompts that look like identifiers."""
    found = [text for text in texts if looks_like_id(text)]
    if found:
        _tell(
            f"{where}: {len(found)} names or prompts look like identifiers, which text encoders read badly; "
            f"if they are, write words: {_pairs(found)}"
        )


def _pairs(texts: list[str], limit: int = 5) -> str:
    shown = ", ".join(f"{text!r} as {spoken(text.replace(' ', '_'))!r}" for text in texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"


@lru_cache(maxsize=4096)
def _tell(sentence: str) -> None:
    """Says it once in a process, however often a file is read."""
    _log.warning("%s", printable(sentence))
