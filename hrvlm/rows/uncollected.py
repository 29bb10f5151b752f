"""Work on rows in masses, which hold no cycles: looking for some among them over and over takes a fifth of the time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected(*, kept: bool = False) -> Iterator[None]:
    """Inside, nobody looks for cycles of objects; what nothing refers to is freed all the same.

    Args:
        kept: Whether what is there at the end will stay until the process ends, as imported modules do: then nobody
            looks for cycles among it later either. Holds for the first time alone, and where PyTorch was not there
            before: a process that runs many commands would else keep what each of them leaves behind, and a notebook
            the models that it has let go.
    """
    kept = kept and "torch" not in sys.modules and not gc.get_freeze_count()
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if kept:
            gc.freeze()
        if before:
            gc.enable()
