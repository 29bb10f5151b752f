"""What a parser of command lines complains of, in words that tell how to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

KINDS = {
    "float": "a number, or a fraction such as 4/255",
    "int": "a whole number",
    "bool": "true or false",
    "list": "a list such as [one, two]",
}
"""What values of a type are called."""
_KIND = re.compile(r"Expected a <class '(\w+)'>")
_CHOICES = re.compile(r"Expected a typing\.Literal\[([^\]]*)\]")
_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)$")
_UNKNOWN = re.compile(r"^unrecognized arguments: ")
_NOT_ACCEPTED = re.compile(r"(?:(?:Group|Subcommand) '(?P<group>[^']*)' does not accept o|O)ption '(?P<key>[^']*)'")


def in_words(message: str, options: Iterable[str]) -> str:
    """A parser's message, with types by what they are called, and options that may have been meant.

    Args:
        message: Of jsonargparse, in one line.
        options: All that the parser takes, such as "--plan.num_images".
    """
    named = _KIND.sub(lambda found: f"Expected {KINDS.get(found[1], found[0].removeprefix('Expected '))}", message)
    told = _CHOICES.sub(r"Expected one of \1", named)
    if (choice := _CHOICE.search(told)) is not None:
        return told + nearest(choice[1], re.findall(r"[\w-]+", choice[2]))
    known = list(options)
    meant: list[str] = []
    if _UNKNOWN.match(told):
        words = [word.partition("=")[0] for word in told.split() if word.startswith("--")]
        meant = [option for word in words for option in _nearest(word, known)]
    elif (found := _NOT_ACCEPTED.search(told)) is not None:
        keys = [option.removeprefix("--") for option in known]
        word = found["key"] if found["group"] not in _groups(keys) else f"{found['group']}.{found['key']}"
        meant = _nearest(word, keys)
    return f"{told}; perhaps meant: {', '.join(dict.fromkeys(meant))}" if meant else told


def nearest(word: str, known: Iterable[str]) -> str:
    """What may have been meant by a name, for the end of a message; "" if nothing is like it."""
    meant = get_close_matches(word, list(known), n=2, cutoff=0.65)  # two letters of three that are in place
    return f"; perhaps meant: {', '.join(meant)}" if meant else ""


def _nearest(word: str, known: list[str]) -> list[str]:
    """Options that end in the word; or else those that are spelt nearly so, as a whole or in their last part."""
    bare = word.removeprefix("--")
    whole = [option for option in known if option.endswith(f".{bare}")]
    if whole:
        return whole
    last = {option.rpartition(".")[2].removeprefix("--"): option for option in known}
    close = get_close_matches(word, known, n=1, cutoff=0.8)
    return close or [last[name] for name in get_close_matches(bare.rpartition(".")[2], last, n=1, cutoff=0.8)]


def _groups(keys: list[str]) -> set[str]:
    return {key.rpartition(".")[0] for key in keys}
