"""`hrvlm`: every command in one; each lives in a module of its own.

`train` and `certify` are the programs train.py and certify.py of the repository, with their own commands. Other modules
join by being listed in `COMMANDS`. Each offers `add_parser(subparsers)`, which calls
`subparsers.add_subcommand(name, parser)` with its module's name, and `run(options)`, which gets what that parser read.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from hrvlm.cli.errors import ClearParser, clear_errors

PROGRAMS = {
    "train": "fine-tune a model: fit, validate, … (hrvlm train --help)",
    "certify": "certify, attack, verify, report, … (hrvlm certify --help)",
}
COMMANDS = ("tree", "export")


def main(arguments: list[str] | None = None) -> None:
    """Runs a command, for example `hrvlm tree show emoji_unicode`.

    Args:
        arguments: Command line; `sys.argv` if None.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in PROGRAMS:
        import_module(f"hrvlm.cli.{words[0]}").main(words[1:], f"hrvlm {words[0]}")
        return
    with clear_errors("hrvlm"):
        modules = command_modules()
        parser = ClearParser(prog="hrvlm", description="Hierarchically robust vision-language models.")
        subparsers = parser.add_subcommands(dest="command")
        for name, text in PROGRAMS.items():
            subparsers.add_subcommand(name, ClearParser(), help=text)
        for module in modules.values():
            module.add_parser(subparsers)
        given = parser.parse_args(arguments)
        modules[given.command].run(given[given.command])


def command_modules() -> dict[str, ModuleType]:
    """The modules of the commands, by name."""
    found = [name for name in COMMANDS if find_spec(f"hrvlm.cli.{name}")]
    return {name: import_module(f"hrvlm.cli.{name}") for name in found}


if __name__ == "__main__":
    main()
