"""`hrvlm`: every command in one.

`train` and `certify` are the programs train.py and certify.py of the repository, with their own commands; the others
are listed in `hrvlm.cli.command`.
"""

from __future__ import annotations

import sys
from importlib import import_module

from hrvlm.cli.command import HRVLM, run_command

PROGRAMS = {
    "train": "fine-tune a model: fit, validate, … (hrvlm train --help)",
    "certify": "certify, attack, verify, report, … (hrvlm certify --help)",
}


def main(arguments: list[str] | None = None) -> None:
    """Runs a command, for example `hrvlm tree show emoji_unicode`.

    Args:
        arguments: Command line; `sys.argv` if None.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in PROGRAMS:
        import_module(f"hrvlm.cli.{words[0]}").main(words[1:], f"hrvlm {words[0]}")
        return
    run_command(words, HRVLM, "hrvlm", "Hierarchically robust vision-language models.", PROGRAMS)


if __name__ == "__main__":
    main()
