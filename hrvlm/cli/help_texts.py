"""Writes the help of every command into `help_texts`, for `quick_answers`: `python -m hrvlm.cli.help_texts`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from hrvlm.cli.command import parser_of
from hrvlm.cli.command_table import CERTIFY, HRVLM, Entry
from hrvlm.cli.data_modules import DATA_MODULES, import_named
from hrvlm.cli.errors import ClearParser
from hrvlm.cli.quick_answers import PROGRAM, TEXTS, versions
from hrvlm.whole_files import write_whole

WIDTH = "120"


def texts() -> Iterator[tuple[str, str, str]]:
    """Family, command and help of every command, as its parser makes it in a terminal of 120 columns."""
    import_named(list(DATA_MODULES))  # which help lists
    for family, commands in (("certify", CERTIFY), ("hrvlm", HRVLM)):
        for name in commands:
            if family == "hrvlm" and commands[name] in CERTIFY.values():
                continue
            for words, parser in _parsers(name, commands):
                yield family, " ".join(words), _shown(parser)
    from hrvlm.cli.train import parsers  # which the others do not wait for

    for name, parser in parsers(PROGRAM).items():
        yield "train", name, _shown(parser)


def _parsers(name: str, commands: Mapping[str, Entry]) -> Iterator[tuple[list[str], ClearParser]]:
    """The parser of a command, and those of its actions."""
    parser = parser_of(name, commands, PROGRAM, "").subparsers()[name]
    yield [name], parser
    yield from (([name, action], inner) for action, inner in parser.subparsers().items())


def _shown(parser: ClearParser) -> str:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        text = parser.format_help()
    finally:
        os.environ.pop("COLUMNS")
        os.environ.update({} if before is None else {"COLUMNS": before})
    return text


def write() -> None:
    """Writes all texts, and what they were made with; removes those of commands that are gone."""
    for path in TEXTS.glob("*/*.txt"):
        path.unlink()
    for family, command, text in texts():
        (TEXTS / family).mkdir(parents=True, exist_ok=True)
        write_whole(TEXTS / family / f"{command}.txt", text)
    write_whole(TEXTS / "versions.txt", versions() + "\n")


if __name__ == "__main__":
    write()
