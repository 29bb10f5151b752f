"""The one way to the terminal: texts are shown as they are, whatever names in them look like.

No text is read as markup (a class may be called `[/b]`), and control characters are written out: an escape sequence in
a name would else move the cursor or change colours. Style comes from `rich.text.Text` alone.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from hrvlm.trees.words import printable

WIDTH = 120  # where the output is no terminal


def lines_of(text: str) -> str:
    """The text with control characters written out, in its own lines."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str, end: str = "\n") -> None:
    """Prints a text as it is."""
    print(lines_of(text), end=end)


class PlainConsole(Console):
    """A console that shows every text, cell and title as it is."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text without markup, emoji codes and control characters; every string comes through here."""
        return super().render_str(lines_of(text), **options | {"markup": False, "emoji": False})


def console(width: int = WIDTH) -> PlainConsole:
    """A console as wide as the terminal, or of a fixed width where there is none."""
    found = PlainConsole()
    return found if found.is_terminal else PlainConsole(width=width)


def bold(text: object, before: str = "", after: str = "") -> Text:
    """A text in bold letters, between others."""
    return Text.assemble(before, (lines_of(str(text)), "bold"), after)
