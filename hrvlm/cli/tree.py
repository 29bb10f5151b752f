"""`hrvlm tree`: builds, imports, checks, shows and compares class trees."""

from __future__ import annotations

from typing import Any

from hrvlm.cli.errors import ClearParser


def add_parser(subparsers: Any) -> None:
    """Adds `tree` to the commands of `hrvlm`."""
    parser = ClearParser(description=__doc__)
    parser.add_argument("files", nargs="+", help="tree files")
    subparsers.add_subcommand("tree", parser, help="build, import, check, show and compare class trees")


def run(options: Any) -> None:
    """Runs the chosen subcommand."""
    print(options)
