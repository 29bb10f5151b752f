"""Where the samples of tar shards lie, so that shards can be read in any order, from any process."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED

import numpy as np
from numpy.typing import NDArray

from hrvlm.data.listing import LeftOut
from hrvlm.data.tar_scanning import MAX_IMAGE_BYTES, MAX_LABEL, scan_shard, webdataset_modules

MAX_SHARDS = 1_000_000

_FORMAT = 2
_NUMBERS = ("shards", "offsets", "sizes", "labels")


def shard_paths(shards: str) -> list[str]:
    """Expands a shard name with braces, such as "imagenet/train-{000000..000127}.tar"; "::" joins several.

    Raises:
        ValueError: If it names a URL or a pipe, or a shard is missing or named twice.
    """
    expand_urls, _ = webdataset_modules()
    if ":" in shards.replace("::", ""):
        raise ValueError(f"expected local tar files as shards, got {shards}; copy or mount them first")
    _check_count(shards)
    paths: list[str] = expand_urls(shards)
    missing = [path for path in paths if not Path(path).is_file()]
    if missing or not paths:
        raise ValueError(f"expected {len(paths)} tar files of {shards}, missing {len(missing)}: {missing[:1]}")
    if len(set(paths)) < len(paths):
        raise ValueError(f"expected every shard once, got one twice in {shards}")
    return paths


def _check_count(shards: str) -> None:
    """Refuses names that stand for more files than there can be, before they are written out."""
    count = 1
    for braces in re.findall(r"\{([^{}]*)\}", shards):
        ends = re.fullmatch(r"(-?\d{1,99})\.\.(-?\d{1,99})(?:\.\.-?\d+)?", braces)
        count *= abs(int(ends[2]) - int(ends[1])) + 1 if ends else braces.count(",") + 1
    if count > MAX_SHARDS:
        raise ValueError(f"expected at most {MAX_SHARDS} shards, got {shards[:80]}, which names {count}")


@dataclass(frozen=True)
class TarIndex:
    """Samples of some shards, in their order; N samples, one entry of each array per sample.

    Attributes:
        paths: The shards.
        keys: Keys (N,), in UTF-8.
        shards: Position of the shard in `paths` (N,).
        offsets: First byte of the image in the shard (N,).
        sizes: Bytes of the image (N,).
        labels: Labels (N,).
    """

    paths: tuple[str, ...]
    keys: NDArray[np.bytes_]
    shards: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def where(self, position: int) -> str:
        """Shard and key in words."""
        key = self.keys[position].decode("utf-8", "backslashreplace")
        return f"{key!r} in shard {self.paths[int(self.shards[position])]}"


def read_index(paths: Sequence[str], folder: str | Path | None = None, *, keep: bool = True) -> TarIndex:
    """The index of some shards, from a file of an earlier call where the shards are still the same.

    Reading all headers of ImageNet-1k takes minutes, reading the file an instant. Nothing but time is lost if the file
    cannot be written.

    Args:
        paths: The shards.
        folder: Of the file; beside the first shard if None.
        keep: Whether an index that had to be made is written to its file.

    Raises:
        ValueError: If a shard is damaged or a sample lacks its image or label; the message names shard and key.
    """
    state = json.dumps([_FORMAT, [(path, (at := Path(path).stat()).st_size, at.st_mtime_ns) for path in paths]])
    name = hashlib.sha256(state.encode()).hexdigest()[:16]
    file = Path(folder or Path(paths[0]).parent) / f".hrvlm-index-{name}.npz"
    arrays = _load(file, paths)
    if arrays is None:
        arrays = _scan(paths)
        if keep:
            _save(file, arrays)
    return TarIndex(tuple(paths), **arrays)


def _load(file: Path, paths: Sequence[str]) -> dict[str, Any] | None:
    """A stored index; None if there is none, or one that was cut short or does not fit the shards."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if any(entry.compress_type != ZIP_STORED for entry in stored.zip.infolist()):
                return None  # not written by `_save`; nobody knows how much it unfolds to
            arrays = {name: stored[name] for name in ("keys", *_NUMBERS)}
    except Exception:  # of many kinds; whatever is wrong with it, the shards themselves are read instead
        return None
    return arrays if _fits(arrays, paths) else None


def _fits(arrays: dict[str, Any], paths: Sequence[str]) -> bool:
    """Whether arrays have the form of an index, and every picture lies within its shard."""
    count = len(arrays["keys"]) if arrays["keys"].ndim == 1 and arrays["keys"].dtype.kind == "S" else 0
    if not count or any(arrays[name].shape != (count,) or arrays[name].dtype != np.int64 for name in _NUMBERS):
        return False
    shards, offsets, sizes, labels = (arrays[name] for name in _NUMBERS)
    if shards.min() < 0 or shards.max() >= len(paths) or (np.diff(shards) < 0).any():
        return False
    lengths = np.array([Path(path).stat().st_size for path in paths], dtype=np.int64)[shards]
    within = (offsets >= 0) & (sizes >= 0) & (sizes <= MAX_IMAGE_BYTES) & (offsets <= lengths - sizes)
    return bool(within.all() and labels.min() >= 0 and labels.max() <= MAX_LABEL)


def _save(file: Path, arrays: dict[str, Any]) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.savez(stream, **arrays)
        part.replace(file)  # at once: another process finds the whole file or none
    except OSError:
        with suppress(OSError):
            part.unlink()


def _scan(paths: Sequence[str]) -> dict[str, Any]:
    left_out = LeftOut()
    rows = [
        (sample.key, number, *sample.image, sample.label)
        for number, path in enumerate(paths)
        for sample in scan_shard(path, left_out)
    ]
    left_out.tell(f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}")
    if not rows:
        raise ValueError(f"expected samples in the shards, found none in {paths[0]} and {len(paths) - 1} more")
    keys, *numbers = zip(*rows, strict=True)
    named = zip(_NUMBERS, numbers, strict=True)
    # Names that are no UTF-8 come from tarfile with their bytes as surrogates.
    return {"keys": np.array([key.encode("utf-8", "surrogateescape") for key in keys])} | {
        name: np.array(values, dtype=np.int64) for name, values in named
    }
