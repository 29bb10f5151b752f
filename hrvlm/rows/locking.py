"""Files that one process at a time writes to.

A hidden file beside each one is locked in its stead, so that the file itself can be read, replaced and removed on every
system meanwhile. The system lets go of a lock when its process dies: no lock outlives a kill, though its file may.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What network file systems that have no locks say."""
PATIENCE = 0.05
"""Seconds after which a lock counts as another one's."""
_log = logging.getLogger(__name__)


class Hold:
    """A file held by this process until it is let go of, or the process dies.

    Args:
        path: The file; it need not exist, and its folder is made if absent.

    Raises:
        ValueError: If another process, or something else in this one, holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)

    def release(self) -> None:
        """Lets go, and leaves no file behind."""
        if self._lock is None:
            return
        with suppress(OSError):  # Windows removes no file that is open
            os.unlink(self._lock.lock_file)
        self._lock.release()
        self._lock = None


def lock_path(path: Path) -> Path:
    """The file that is locked in the stead of another one; one that is there for nothing else is locked itself."""
    return path if path.suffix == ".lock" else path.with_name(f".{path.name}.lock")


def _locked(path: Path) -> FileLock | None:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path(path), timeout=PATIENCE, poll_interval=PATIENCE / 5)
        try:
            lock.acquire()  # a file that another process removes meanwhile is tried again
            return lock
        except Timeout as error:
            raise ValueError(
                f"expected no other process to write to {path}, got one that does; wait for it or end it"
            ) from error
        except FileNotFoundError:
            if path.parent.is_dir():
                raise
            continue  # another process has just removed the empty folder
        except (OSError, NotImplementedError) as error:
            if lock_path(path).is_dir():
                raise ValueError(f"expected a file at {lock_path(path)}, got a folder; move it elsewhere") from error
            if isinstance(error, OSError) and error.errno not in NO_LOCKS:
                raise
            _log.warning("%s cannot be locked (%s): make sure that only one run writes to this folder", path, error)
            return None


def open_held(path: Path) -> IO[str]:
    """Opens a text file to append to, made if absent; hold it first.

    Raises:
        ValueError: If there is something else of that name.
    """
    try:
        return path.open("a", encoding="utf-8")
    except IsADirectoryError as error:
        raise ValueError(f"expected a file at {path}, got a folder; move it elsewhere") from error


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds a file while a block runs; see `Hold`."""
    hold = Hold(path)
    try:
        yield
    finally:
        hold.release()
