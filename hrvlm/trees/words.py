"""Words of users: in Unicode's composed form, put into templates literally, and shown without control characters."""

from __future__ import annotations

import unicodedata

# Marks that change the direction of what follows: text would be shown in another order than it is stored in.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


def composed(text: str) -> str:
    """The text in composed form (NFC), so that names from file systems that decompose letters match typed ones."""
    return unicodedata.normalize("NFC", text)


def printable(text: str) -> str:
    r"""The text on one line with control characters written out, as `\x1b`: a terminal does nothing but show it."""
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if character in _DIRECTIONS or unicodedata.category(character) in _UNPRINTABLE
        else character
        for character in text
    )
