"""Files that one process at a time writes to.

The system lets go of a lock when its process dies, so no lock outlives a kill. A file that is removed or replaced takes
its lock with it: whoever has opened it before looks again, once the lock is his, whether it still is the file of that
name.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_log = logging.getLogger(__name__)


def lock(file: IO[str] | IO[bytes], path: Path) -> None:
    """Hold a file until it is closed; the system lets go of it when the process dies.

    Raises:
        ValueError: if another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(
            f"expected no other process to write to {path}, got one that does; wait for it or end it"
        ) from error
    except OSError as error:  # some network file systems have no locks
        _log.warning("%s cannot be locked (%s): make sure that only one run writes to this folder", path, error)


def open_locked(path: Path) -> IO[str]:
    """Open a text file to append to, made if absent, and hold it until it is closed.

    Raises:
        ValueError: if another process holds it, or there is something else of that name.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a", encoding="utf-8")
        except IsADirectoryError as error:
            raise ValueError(f"expected a file at {path}, got a folder; move it elsewhere") from error
        except FileNotFoundError:
            if path.parent.is_dir():
                raise
            continue  # another process has just removed the empty folder
        try:
            lock(file, path)
        except ValueError:
            file.close()
            raise
        if is_at(file, path):
            return file
        file.close()  # another process has removed or replaced it meanwhile


def is_at(file: IO[str] | IO[bytes], path: Path) -> bool:
    """Whether an open file is the one of that name, neither removed nor replaced nor moved."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file that says nothing but that a process is at work; it is gone afterwards.

    Raises:
        ValueError: if another process holds it.
    """
    file = open_locked(path)
    try:
        yield
    finally:
        if is_at(file, path):
            path.unlink()
        file.close()
