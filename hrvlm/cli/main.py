"""`hrvlm`: every command in one.

`train` and `certify` are the programs train.py and certify.py of the repository, with their own commands; options
straight after them are those of `train fit` and `certify run`. The others are listed in `hrvlm.cli.command`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from hrvlm.cli import certify, completion, programs
from hrvlm.cli.command import run_command
from hrvlm.cli.command_table import HRVLM
from hrvlm.cli.quick_answers import HELP

PROGRAMS = {
    "train": "fine-tune a model: fit, validate (hrvlm train --help)",
    "certify": "certify, attack, verify, report, … (hrvlm certify --help)",
    "completion": "print what completes these words in a shell: bash, zsh or fish",
}
_RUN: dict[str, tuple[Callable[[list[str], str], None], str]] = {
    "train": (programs.train, "fit"),
    "certify": (certify.main, "run"),
    "completion": (completion.main, ""),
}


def main(arguments: list[str] | None = None) -> None:
    """Runs a command, for example `hrvlm tree show emoji_unicode`.

    Args:
        arguments: Command line; `sys.argv` if None.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] not in _RUN:
        run_command(words, HRVLM, "hrvlm", "Hierarchically robust vision-language models.", PROGRAMS)
        return
    run, usual = _RUN[words[0]]
    rest = words[1:]
    if usual and rest and rest[0].startswith("-") and rest[0] not in (*HELP, "--version"):
        rest = [usual, *rest]
    run(rest, f"hrvlm {words[0]}")


if __name__ == "__main__":
    main()
