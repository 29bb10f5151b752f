"""A command line that is given again and again is parsed once, which takes longest of all that most commands do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from hrvlm.cli.errors import ClearParser

_LOOKS = ("open", "os.listdir", "os.scandir")
_watched: list[set[str]] = []  # paths that are opened meanwhile; the innermost set takes them


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event in _LOOKS and isinstance(arguments[0], str | os.PathLike):
        _watched[-1].add(os.path.realpath(arguments[0]))


sys.addaudithook(_watch)


class ParsedLines:
    """Command lines and what they were parsed to, apart from those whose parser looks at a file that changes."""

    def __init__(self, changing: Path) -> None:
        """Remembers nothing yet.

        Args:
            changing: A file or folder; where it is read in order to parse a line, that line is always parsed anew.
        """
        self.changing = Path(os.path.realpath(changing))
        self._known: dict[tuple[int, tuple[str, ...]], Any] = {}

    @contextmanager
    def remembered(self) -> Iterator[None]:
        """Within it, parsers take remembered lines as parsed; what they are given is a copy."""
        parse = ClearParser.parse_args

        def parse_once(parser: ClearParser, *given: Any, **options: Any) -> Any:
            if options or len(given) != 1 or given[0] is None:  # as a command's own parser, within another's
                return parse(parser, *given, **options)
            key = (id(parser), tuple(given[0]))
            if key not in self._known:
                _watched.append(set())
                try:
                    found = parse(parser, *given)
                finally:
                    opened = _watched.pop()
                if any(Path(path).is_relative_to(self.changing) for path in opened):
                    return found
                self._known[key] = found
            return deepcopy(self._known[key])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClearParser, "parse_args", parse_once)
            yield
