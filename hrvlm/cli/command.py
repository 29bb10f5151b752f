"""Commands: one small object each, found by name in one table, and its module imported when it is asked for.

`certify.py`, `train.py` and `hrvlm` find theirs here alike. Help, and commands that need no model, so do not wait for
the libraries of models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from hrvlm.cli.errors import OLD_NAME, ClearParser, clear_errors


@dataclass(frozen=True)
class Command:
    """How the options of a command are read, and what is done with them.

    Attributes:
        parser: Makes the parser of its options.
        run: Gets these, with the objects that they name made; and a second time as they were given.
        add_actions: Adds commands of its own to that parser, once it has its place; None if there are none.
    """

    parser: Callable[[], ClearParser]
    run: Callable[[Any, Any], None]
    add_actions: Callable[[ClearParser], None] | None = None


@dataclass(frozen=True)
class Entry:
    """A command of the table.

    Attributes:
        module: Module of `hrvlm.cli.commands` that offers it as `COMMAND`.
        text: What it does, in a sentence for --help.
    """

    module: str
    text: str

    def load(self) -> Command:
        """The command itself."""
        command: Command = import_module(f"hrvlm.cli.commands.{self.module}").COMMAND
        return command


CERTIFY: Mapping[str, Entry] = {
    "run": Entry("run", "Certifies a model; run again, it goes on where it stopped."),
    "attack": Entry("attack", "Attacks every level of a model; run again, it goes on where it stopped."),
    "zero-shot": Entry(
        "zero_shot", "Accuracy on any pictures and classes, clean and attacked; goes on where it stopped."
    ),
    "targeted-attack": Entry(
        "targeted_attack", "Attacks a model that answers in words, so that it gives a forbidden answer."
    ),
    "answers": Entry("answers", "Draws answers of noisy copies, to be labelled."),
    "audit": Entry("audit", "Certifies images by labels of their own answers, without the model."),
    "verify": Entry("verify", "Derives every certificate anew from its row, without the model."),
    "report": Entry("report", "Writes report.html from rows alone; with pictures if the data set is at hand."),
    "compare": Entry("compare", "Puts models side by side, with intervals of their differences, from rows alone."),
    "export": Entry("export_rows", "Writes rows in the forms that other tools read, into the same folder."),
    "plan": Entry("plan", "How many noise samples for which loss of mean radius or certified accuracy."),
    "calibrate": Entry(
        "calibrate", "Calibrates semantic certificates on pictures of the changes, so that these seldom differ."
    ),
    "check-calibration": Entry("check_calibration", "Measures on other images how often calibrated claims fail."),
    "recertify": Entry("recertify", "Certifies new prompts, trees, planes or levels from a cache of features."),
}
"""Commands of `certify.py`, in the order of --help."""

HRVLM: Mapping[str, Entry] = {
    "init": Entry("init", "look at your pictures and write a configuration that runs"),
    "tree": Entry("tree", "build, import, check, show and compare class trees"),
    "export": Entry("export_model", "write a checkpoint as a folder that open_clip loads"),
}
"""Commands of `hrvlm` besides its programs."""

RENAMED: Mapping[str, str] = {"push": "targeted-attack", "rescore": "recertify"}
"""Commands of `certify.py` by the names that they had."""


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
    with clear_errors(program):
        words = _by_new_name(words, commands, program)
        parser = parser_of(words[0] if words else "", commands, program, description, others)
        given = parser.parse_args(words)
        chosen = parser.instantiate_classes(given)
        commands[given.command].load().run(chosen[given.command], given[given.command])


def parser_of(
    wanted: str,
    commands: Mapping[str, Entry],
    program: str,
    description: str,
    others: Mapping[str, str] | None = None,
) -> ClearParser:
    """All commands by name, and the options of the wanted one; see `run_command`. Made once, for it takes long."""
    return _parser_of(wanted, tuple(commands.items()), program, description, tuple((others or {}).items()))


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
        command = entry.load() if name == wanted else None
        options = ClearParser() if command is None else command.parser()
        options.description = options.description or entry.text
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
