"""Files that appear whole or not at all, and folders that are looked at before work is done for them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

with suppress(ImportError):  # Windows has no such limits
    import resource

LEAST_ROOM = 2**20
"""Bytes that results need at least."""


class PathError(ArgumentTypeError, ValueError):
    """A path that is none; argparse tells the message of this kind of error."""


def path_of(text: str) -> str:
    """The path that an option gives.

    Raises:
        PathError: If it is blank, which would be the current folder, or holds a character that no path can.
    """
    if not text.strip() or "\0" in text:
        raise PathError(f"expected a path, got {text!r}; write . for the current folder")
    return text


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Gives a file to write to, which takes the place of another one in a single step.

    What was there stays as it is until then, and if anything fails, also a full disk, nothing of the new file remains.

    Args:
        path: file to be written; its folder must be there. A device such as /dev/stdout is written to directly.
    """
    if Path(path).exists() and not Path(path).is_file():  # the real path of a pipe is the name of no file
        yield Path(path)
        return
    target = Path(os.path.realpath(path))
    new = target.with_name(target.name + ".new")
    try:
        yield new
        with new.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, text: str) -> None:
    """Write a text file that holds the old text or the new one, whenever the process is killed; makes its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as new:
        new.write_text(text, encoding="utf-8", newline="\n")


def check_place(folder: str | Path, needed: int = LEAST_ROOM) -> None:
    """Raise ValueError unless files can be written to a folder, which need not be there yet; nothing is left behind.

    Args:
        folder: where results are to go.
        needed: bytes of the largest file, as far as it is known.
    """
    place = Path(folder)
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"1")
        usage = shutil.disk_usage(place)
        room = usage.free if usage.total else sys.maxsize  # some file systems do not tell
    except OSError as error:
        raise ValueError(
            f"expected a folder that can be written to, got {folder} ({place}: {reason(error)}); choose another one"
        ) from error
    room = min(room, _largest_file())
    if room < needed:
        raise ValueError(
            f"expected room for a file of {_size(needed)} in {folder}, got {_size(room)} (free space, or the limit of "
            "ulimit -f); make room or choose another folder"
        )


def _largest_file() -> int:
    """Bytes that a file of this process may have."""
    if "resource" not in globals():
        return sys.maxsize
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return sys.maxsize if largest == resource.RLIM_INFINITY else largest


def reason(error: OSError) -> str:
    """What the operating system says, in a few words."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size} bytes"


@contextmanager
def whole_folder(path: str | Path, stale: Sequence[str] = ()) -> Iterator[Path]:
    """Gives a folder to write files to, which take their places in another one when all of them are there.

    If anything fails until then, also a full disk, the other folder is as it was. Files of it that have no new ones
    stay; a folder that is not there yet appears whole.

    Args:
        path: folder to be written.
        stale: files that may be there, relative to it, which go when the new ones come.
    """
    target = Path(os.path.realpath(path))
    place = target if target.is_dir() else target.parent
    new = place / f".{target.name}.new"
    shutil.rmtree(new, ignore_errors=True)  # of one that was killed
    try:
        new.mkdir(parents=True)
        yield new
        _move(new, target, stale)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _move(new: Path, target: Path, stale: Sequence[str]) -> None:
    files = sorted(path for path in new.rglob("*") if path.is_file())
    usual = new / ".new"
    usual.touch()
    mode = usual.stat().st_mode
    usual.unlink()
    for path in files:
        path.chmod(mode)  # as any new file has it; the writer of safetensors shuts others out
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not target.exists():
        new.rename(target)
        return
    for name in stale:
        (target / name).unlink(missing_ok=True)
    for path in files:  # on the same disk, where this takes no room
        place = target / path.relative_to(new)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
