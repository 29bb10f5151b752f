"""Lines that the first of a command's processes says: once, before large imports; and while it is silent for long."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext

from hrvlm.evaluation.pace import still_working

RANKS = ("LOCAL_RANK", "RANK", "SLURM_PROCID")


def say_once(line: str) -> None:
    """Prints a line to standard error on the first of several processes."""
    if _is_first():
        print(line, file=sys.stderr, flush=True)


def at_work(command: str) -> AbstractContextManager[None]:
    """Tells that a command is at work where it is silent for long, see `hrvlm.evaluation.pace.still_working`.

    Args:
        command: Program and command.
    """
    return still_working(command) if _is_first() else nullcontext()


def _is_first() -> bool:
    return all(os.environ.get(name, "0") in ("", "0") for name in RANKS)


def tell_beginning(command: str, library: str) -> None:
    """Tells what takes the next seconds, unless it is loaded already.

    Args:
        command: Program and command, such as "certify.py run".
        library: What it loads besides PyTorch.
    """
    if "torch" not in sys.modules:
        say_once(f"{command}: loading PyTorch and {library}")
