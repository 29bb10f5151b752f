"""`hrvlm`: one command for what is neither training nor certifying; each subcommand lives in a module of its own.

A module joins by being listed in `COMMANDS`. It offers `add_parser(subparsers)`, which calls
`subparsers.add_subcommand(name, parser)` with its module's name, and `run(options)`, which gets what that parser read.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from hrvlm.cli.errors import ClearParser, clear_errors

COMMANDS = ("tree", "export")


def main(arguments: list[str] | None = None) -> None:
    """Runs a command, for example `hrvlm tree show trees/cifar100.yaml`.

    Args:
        arguments: Command line; `sys.argv` if None.
    """
    modules = command_modules()
    parser = ClearParser(prog="hrvlm", description="Hierarchically robust vision-language models.")
    subparsers = parser.add_subcommands(dest="command")
    for module in modules.values():
        module.add_parser(subparsers)
    with clear_errors("hrvlm"):
        given = parser.parse_args(arguments)
        modules[given.command].run(given[given.command])


def command_modules() -> dict[str, ModuleType]:
    """The modules of the commands, by name."""
    found = [name for name in COMMANDS if find_spec(f"hrvlm.cli.{name}")]
    return {name: import_module(f"hrvlm.cli.{name}") for name in found}
