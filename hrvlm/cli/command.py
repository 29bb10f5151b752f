"""Commands: one small object each, found by name in one table, and its module imported when it is asked for.

`certify.py`, `train.py` and `hrvlm` find theirs here alike. Help, and commands that need no model, so do not wait for
the libraries of models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from hrvlm.cli.command_table import CERTIFY, PROGRAMS, RENAMED, Entry
from hrvlm.cli.errors import OLD_NAME, ClearParser, clear_errors
from hrvlm.cli.first_line import at_work, tell_beginning
from hrvlm.cli.lighter_lightning import put_off_metrics
from hrvlm.cli.lighter_models import enter_open_clip
from hrvlm.cli.quick_answers import HELP, answer_at_once
from hrvlm.rows.uncollected import uncollected


@dataclass(frozen=True)
class Command:
    """How the options of a command are read, and what is done with them.

    Attributes:
        parser: Makes the parser of its options.
        run: Gets these, with the objects that they name made; and a second time as they were given.
        add_actions: Adds commands of its own to that parser, once it has its place; None if there are none.
        waits: Whether it waits for somebody, and so is not at work whenever it is silent.
    """

    parser: Callable[[], ClearParser]
    run: Callable[[Any, Any], None]
    add_actions: Callable[[ClearParser], None] | None = None
    waits: bool = False


def loaded(entry: Entry) -> Command:
    """The command of an entry, whose module is imported now."""
    command: Command = import_module(f"hrvlm.cli.commands.{entry.module}").COMMAND
    return command


def run_command(
    words: list[str],
    commands: Mapping[str, Entry],
    program: str,
    description: str,
    others: Mapping[str, str] | None = None,
) -> None:
    """Reads a command line and runs its command.

    Args:
        words: The command line without the program.
        commands: The program's commands.
        program: What it is called in help and errors.
        description: What it does.
        others: Names and texts of what is only listed in its help.
    """
    family = "certify" if commands is CERTIFY else "hrvlm"
    answer_at_once(words, program, family)
    if not words or words[0] in HELP:
        print(overview(program, commands, description, others or {}))
        raise SystemExit(0 if words else 2)
    with clear_errors(program):
        words = _by_new_name(words, commands, program)
        if words[0] in commands and commands[words[0]].model:
            tell_beginning(f"{program} {words[0]}", "open_clip")
        put_off_metrics()
        with uncollected(kept=True):  # imports and parsers leave nothing behind
            if words[0] in commands and commands[words[0]].model:
                enter_open_clip()
            parser = parser_of(words[0] if words else "", commands, program, description, others)
            given = parser.parse_args(words)
        command = loaded(commands[given.command])
        with nullcontext() if command.waits else at_work(f"{program} {given.command}"):
            chosen = parser.instantiate_classes(given)
            command.run(chosen[given.command], given[given.command])


def parser_of(
    wanted: str,
    commands: Mapping[str, Entry],
    program: str,
    description: str,
    others: Mapping[str, str] | None = None,
) -> ClearParser:
    """The options of the wanted command, or if there is none of its name the names of all; see `run_command`.

    Made once, for it takes long.
    """
    listed = {wanted: commands[wanted]} if wanted in commands else commands
    also = () if wanted in commands else tuple((others or {}).items())
    return _parser_of(wanted, tuple(listed.items()), program, description, also)


@cache
def _parser_of(
    wanted: str,
    commands: tuple[tuple[str, Entry], ...],
    program: str,
    description: str,
    others: tuple[tuple[str, str], ...],
) -> ClearParser:
    parser = ClearParser(prog=program, description=description)
    subparsers = parser.add_subcommands(dest="command")
    for name, text in others:
        subparsers.add_subcommand(name, ClearParser(), help=text)
    for name, entry in commands:
        command = loaded(entry) if name == wanted else None
        options = ClearParser() if command is None else command.parser()
        options.description = options.description or entry.text
        options.example = f"{name} {entry.example}" if entry.example else ""
        subparsers.add_subcommand(name, options, help=entry.text)
        if command is not None and command.add_actions is not None:
            command.add_actions(options)
    return parser


def _by_new_name(words: list[str], commands: Mapping[str, Entry], program: str) -> list[str]:
    """The command line with today's name of its command; an old one is told in a line."""
    new = RENAMED.get(words[0]) if words and words[0] not in commands else None
    if new is None or new not in commands:
        return words
    print(f"{program}: {OLD_NAME.format('command')}: {words[0]} is now {new}", file=sys.stderr)
    return [new, *words[1:]]


def overview(program: str, commands: Mapping[str, Entry], description: str, others: Mapping[str, str]) -> str:
    """All commands in groups, with what each does: what help without a command shows.

    Args:
        program: What the program is called.
        commands: Its commands.
        description: What it does.
        others: Names and texts of what it runs besides.
    """
    groups: dict[str, list[tuple[str, str]]] = {PROGRAMS: list(others.items())} if others else {}
    for name, entry in commands.items():
        groups.setdefault(entry.group, []).append((name, entry.text))
    names = ",".join([*others, *commands])
    parts = [f"usage: {program} [-h] [--version] {{{names}}} ...", description.strip()]
    for group, listed in groups.items():
        parts.append("\n".join([f"{group}:", *(f"  {name:<20}{text}" for name, text in listed)]))
    parts.append(f"Options of a command, and an example: {program} COMMAND --help")
    return "\n\n".join(parts)
