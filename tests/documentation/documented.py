"""What stands in fenced blocks of the documentation: commands, Python, YAML and JSON.

Commands and Python run in tests. A comment on the line before a block says where they do not, and why:
`<!-- parsed: REASON -->` of commands, whose options are then only read by the command's own parser, and
`<!-- compiled: REASON -->` of Python.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "trees/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
SHELL, PYTHON = ("bash", "sh"), "python"
LANGUAGES = (*SHELL, PYTHON, "yaml", "json", "text")
MARKS = {"parsed": SHELL, "compiled": (PYTHON,)}
_MARK = re.compile(r"<!-- (\w+): (.+) -->")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Its file, relative to the repository.
        line: Where it begins.
        language: As the fence names it; empty if it does not.
        mark: "parsed" or "compiled"; empty where the block is run.
        reason: Why it is not run.
        text: What stands in it.
    """

    page: str
    line: int
    language: str
    mark: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The words of every command, comments left out, lines that go on joined, {one,other} written out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(_written_out(line), comments=True))]


def _written_out(line: str) -> str:
    """A line with the words that hold braces as a shell would read them; quoted words stay."""
    parts = re.split(r"('[^']*'|\"[^\"]*\"|#.*| +)", line)
    return "".join(" ".join(_alternatives(part)) if part[:1] not in ("'", '"', "#") else part for part in parts)


def _alternatives(word: str) -> Iterator[str]:
    pieces = _BRACES.split(word)
    for chosen in product(*(piece.split(",") if at % 2 else [piece] for at, piece in enumerate(pieces))):
        yield "".join(chosen)


def blocks_of(path: Path, text: str | None = None) -> list[Block]:
    """The fenced blocks of a page.

    Args:
        path: Its file.
        text: What stands in it; read if not given.

    Raises:
        ValueError: If a fence stays open, names a language that is not known, or a mark has no such block behind it.
    """
    found: list[Block] = []
    begun: tuple[int, str] | None = None
    page, mark, inside = str(path.relative_to(ROOT)), ("", ""), list[str]()
    for number, line in enumerate((text or path.read_text(encoding="utf-8")).splitlines(), 1):
        if line.lstrip().startswith("```"):
            if begun is None:
                begun, inside = (number, line.strip()[3:]), []
            else:
                found.append(_block(page, *begun, *mark, "\n".join(inside)))
                begun, mark = None, ("", "")
        elif begun is not None:
            inside.append(line)
        elif (said := _MARK.fullmatch(line.strip())) and said[1] in MARKS:
            mark = (said[1], said[2])
        elif mark[0]:
            raise ValueError(f"{page}:{number}: expected a fenced block right after <!-- {mark[0]}: … -->")
    if begun is not None:
        raise ValueError(f"{page}:{begun[0]}: expected the fence to be closed")
    return found


def _block(page: str, line: int, language: str, mark: str, reason: str, text: str) -> Block:
    if language not in LANGUAGES:
        raise ValueError(f"{page}:{line}: expected a language of {', '.join(LANGUAGES)}, got {language!r}")
    if mark and language not in MARKS[mark]:
        raise ValueError(f"{page}:{line}: expected {' or '.join(MARKS[mark])} after <!-- {mark}: … -->, got {language}")
    return Block(page, line, language, mark, reason, text)


def all_blocks() -> list[Block]:
    """Those of all pages, in order."""
    return [block for page in PAGES for block in blocks_of(page)]
