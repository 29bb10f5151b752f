"""Lines that a command says once, on the first of its processes; the first of them before it imports anything large."""

from __future__ import annotations

import os
import sys

RANKS = ("LOCAL_RANK", "RANK", "SLURM_PROCID")


def say_once(line: str) -> None:
    """Prints a line to standard error on the first of several processes."""
    if all(os.environ.get(name, "0") in ("", "0") for name in RANKS):
        print(line, file=sys.stderr, flush=True)


def tell_beginning(command: str, library: str) -> None:
    """Tells what takes the next seconds, unless it is loaded already.

    Args:
        command: Program and command, such as "certify.py run".
        library: What it loads besides PyTorch.
    """
    if "torch" not in sys.modules:
        say_once(f"{command}: loading PyTorch and {library}")
