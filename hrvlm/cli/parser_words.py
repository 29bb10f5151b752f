"""What a parser of command lines complains of, in words that tell how to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable

KINDS = {
    "float": "a number, or a fraction such as 4/255",
    "int": "a whole number",
    "bool": "true or false",
    "list": "a list such as [one, two]",
}
"""What values of a type are called."""
_KIND = re.compile(r"Expected a <class '(\w+)'>")
_CHOICES = re.compile(r"Expected a typing\.Literal\[([^\]]*)\]")
_UNKNOWN = re.compile(r"^unrecognized arguments: ")


def in_words(message: str, options: Iterable[str]) -> str:
    """A parser's message, with types by what they are called, and options that may have been meant.

    Args:
        message: Of jsonargparse, in one line.
        options: All that the parser takes, such as "--plan.num_images".
    """
    named = _KIND.sub(lambda found: f"Expected {KINDS.get(found[1], found[0].removeprefix('Expected '))}", message)
    told = _CHOICES.sub(r"Expected one of \1", named)
    if not _UNKNOWN.match(told):
        return told
    words = [word.partition("=")[0] for word in told.split() if word.startswith("--")]
    meant = [option for word in words for option in options if option.endswith(f".{word.removeprefix('--')}")]
    return f"{told}; perhaps meant: {', '.join(dict.fromkeys(meant))}" if meant else told
