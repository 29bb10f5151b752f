"""Former names of settings in files and on the command line are put in their present places, and said to be old.

Which names a class had before stands with the class, see `hrvlm.old_keys`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from hrvlm.cli.data_modules import import_named
from hrvlm.cli.first_line import say_once
from hrvlm.old_keys import described, found_in, nested, places_of

_found: ContextVar[dict[str, str] | None] = ContextVar("_found", default=None)


@contextmanager
def one_line(program: str) -> Iterator[None]:
    """Says in one line which former names occurred while a command line was parsed, unless it was refused.

    Args:
        program: What the line begins with.
    """
    if _found.get() is not None:
        yield
        return
    found: dict[str, str] = {}
    token = _found.set(found)
    try:
        yield
    except SystemExit as end:
        if not end.code:
            _say(program, found)
        raise
    finally:
        _found.reset(token)
    _say(program, found)


def _say(program: str, found: dict[str, str]) -> None:
    if found:
        say_once(f"{program}: {described(found)}")


class ForgivingParser(ArgumentParser):
    """A parser that also takes the settings of classes by their former names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._places: dict[str, dict[str, str]] = {}  # of every key that holds settings of a class
        super().__init__(*args, **kwargs)

    def add_class_arguments(self, class_type: Any, nested_key: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Adds the arguments of a class, and remembers their former names."""
        from docstring_parser import DocstringStyle  # which parsers without classes need not wait for

        self._remember(class_type, nested_key or "")
        set_parsing_settings(docstring_parse_style=DocstringStyle.GOOGLE)  # others would be tried on every class
        return super().add_class_arguments(class_type, nested_key, *args, **kwargs)

    def _remember(self, kind: Any, key: str) -> None:
        if places := places_of(kind):
            self._places[key] = places
        if is_dataclass(kind):
            for name, inner in get_type_hints(kind).items():
                if is_dataclass(inner):
                    self._remember(inner, f"{key}.{name}" if key else name)

    def parse_args(self, args: Sequence[str] | None = None, *others: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Parses a command line."""
        given = sys.argv[1:] if args is None else args
        import_named(given)
        return super().parse_args([self._present(word) for word in given], *others, **kwargs)

    def _present(self, word: str) -> str:
        """A word of the command line, with an option's former name replaced."""
        option, equals, value = word.partition("=")
        for key, places in self._places.items():
            start = f"--{key}." if key else "--"
            if option.startswith(start):
                for place in _noted(found_in({option.removeprefix(start): value}, places)).values():
                    return f"{start}{place}{equals}{value}"
        return word

    def _apply_actions(self, cfg: Any, parent_key: str = "", *args: Any, **kwargs: Any) -> Any:
        """What jsonargparse calls with all that comes from files; were it to rename it, only old names would suffer."""
        if not parent_key:
            import_named(cfg)
        for key, places in self._places.items():
            if not parent_key:
                cfg = _within(cfg, key.split(".") if key else [], places)
        return super()._apply_actions(cfg, parent_key, *args, **kwargs)


def _within(settings: Any, path: list[str], places: dict[str, str]) -> Any:
    """Settings with everything in its present place in the part that a path leads to; the same object if it was so."""
    if not isinstance(settings, dict | Namespace):
        return settings
    parts = vars(settings) if isinstance(settings, Namespace) else settings
    if path:
        inner = _within(parts.get(path[0]), path[1:], places)
        changed = parts if inner is parts.get(path[0]) else {**parts, path[0]: inner}
    elif found_in(parts, places):
        touched = {place.partition(".")[0] for place in places.values()}
        plain = {name: vars(parts[name]) for name in touched if isinstance(parts.get(name), Namespace)}
        changed, found = nested({**parts, **plain}, places)
        _noted(found)
    else:
        changed = parts
    if changed is parts:
        return settings
    return Namespace(**changed) if isinstance(settings, Namespace) else changed


def _noted(found: dict[str, str]) -> dict[str, str]:
    seen = _found.get()
    if seen is not None:
        seen |= found
    return found
