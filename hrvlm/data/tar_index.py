"""Where the samples of tar shards lie, so that shards can be read in any order, from any process."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED

import numpy as np
from numpy.typing import NDArray

from hrvlm.data.listing import LeftOut
from hrvlm.data.tar_scanning import MAX_IMAGE_BYTES, MAX_LABEL, MAX_LABEL_BYTES, Sample, scan_shard, webdataset_modules

MAX_SHARDS = 1_000_000

_FORMAT = 2
_NUMBERS = ("shards", "offsets", "sizes", "labels")
_CAPTIONS = ("shards", "offsets", "sizes", "caption_offsets", "caption_sizes")
_NONE = np.zeros(0, dtype=np.int64)


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
        labels: Labels (N,); none of captioned shards.
        caption_offsets: First byte of the caption in the shard (N,); none of labelled shards.
        caption_sizes: Bytes of the caption (N,).
    """

    paths: tuple[str, ...]
    keys: NDArray[np.bytes_]
    shards: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64] = field(default_factory=_NONE.copy)
    caption_offsets: NDArray[np.int64] = field(default_factory=_NONE.copy)
    caption_sizes: NDArray[np.int64] = field(default_factory=_NONE.copy)

    def __len__(self) -> int:
        return len(self.keys)

    def where(self, position: int) -> str:
        """Shard and key in words."""
        key = self.keys[position].decode("utf-8", "backslashreplace")
        return f"{key!r} in shard {self.paths[int(self.shards[position])]}"

    def source(self, position: int) -> str:
        """Name of the shard and key, which stand for a file."""
        key = self.keys[position].decode("utf-8", "backslashreplace")
        return f"{Path(self.paths[int(self.shards[position])]).name}/{key}"


def check_labels(index: TarIndex, num_classes: int) -> None:
    """Refuses labels that are no positions in a list of classes.

    Raises:
        ValueError: If there is such a label; the message names shard and key.
    """
    highest = int(index.labels.argmax())
    if (label := int(index.labels[highest])) >= num_classes:
        raise ValueError(
            f"expected labels below {num_classes}, the number of classes, got {label} of sample "
            f"{index.where(highest)}; name the classes in classes_file"
        )


def read_index(
    paths: Sequence[str], folder: str | Path | None = None, *, keep: bool = True, captions: bool = False
) -> TarIndex:
    """The index of some shards, from a file of an earlier call where the shards are still the same.

    Reading all headers of ImageNet-1k takes minutes, reading the file an instant. Nothing but time is lost if the file
    cannot be written.

    Args:
        paths: The shards.
        folder: Of the file; beside the first shard if None.
        keep: Whether an index that had to be made is written to its file.
        captions: Whether samples have captions (`KEY.txt`) instead of labels.

    Raises:
        ValueError: If a shard is damaged or a sample lacks its image, its label or its caption; the message names
            shard and key.
    """
    numbers = _CAPTIONS if captions else _NUMBERS
    kind = [_FORMAT, "captions"] if captions else [_FORMAT]
    state = json.dumps([*kind, [(path, (at := Path(path).stat()).st_size, at.st_mtime_ns) for path in paths]])
    name = hashlib.sha256(state.encode()).hexdigest()[:16]
    file = Path(folder or Path(paths[0]).parent) / f".hrvlm-index-{name}.npz"
    arrays = _load(file, paths, numbers)
    if arrays is None:
        arrays = _scan(paths, numbers)
        if keep:
            _save(file, arrays)
    return TarIndex(tuple(paths), **arrays)


def _load(file: Path, paths: Sequence[str], numbers: Sequence[str]) -> dict[str, Any] | None:
    """A stored index; None if there is none, or one that was cut short or does not fit the shards."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if any(entry.compress_type != ZIP_STORED for entry in stored.zip.infolist()):
                return None  # not written by `_save`; nobody knows how much it unfolds to
            arrays = {name: stored[name] for name in ("keys", *numbers)}
    except Exception:  # of many kinds; whatever is wrong with it, the shards themselves are read instead
        return None
    return arrays if _fits(arrays, paths, numbers) else None


def _fits(arrays: dict[str, Any], paths: Sequence[str], numbers: Sequence[str]) -> bool:
    """Whether arrays have the form of an index, and every picture and caption lies within its shard."""
    count = len(arrays["keys"]) if arrays["keys"].ndim == 1 and arrays["keys"].dtype.kind == "S" else 0
    if not count or any(arrays[name].shape != (count,) or arrays[name].dtype != np.int64 for name in numbers):
        return False
    shards = arrays["shards"]
    if shards.min() < 0 or shards.max() >= len(paths) or (np.diff(shards) < 0).any():
        return False
    lengths = np.array([Path(path).stat().st_size for path in paths], dtype=np.int64)[shards]
    if not _lie_within(arrays["offsets"], arrays["sizes"], lengths, MAX_IMAGE_BYTES):
        return False
    if "labels" in numbers:
        return bool(arrays["labels"].min() >= 0 and arrays["labels"].max() <= MAX_LABEL)
    return _lie_within(arrays["caption_offsets"], arrays["caption_sizes"], lengths, MAX_LABEL_BYTES)


def _lie_within(offsets: NDArray[np.int64], sizes: NDArray[np.int64], lengths: NDArray[np.int64], most: int) -> bool:
    return bool(((offsets >= 0) & (sizes >= 0) & (sizes <= most) & (offsets <= lengths - sizes)).all())


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


def _scan(paths: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    left_out, captions = LeftOut(), names is _CAPTIONS

    def said(sample: Sample) -> tuple[int, ...]:
        return sample.caption if captions else (sample.label,)

    rows = [
        (sample.key, number, *sample.image, *said(sample))
        for number, path in enumerate(paths)
        for sample in scan_shard(path, left_out, captions=captions)
    ]
    left_out.tell(f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}")
    if not rows:
        raise ValueError(f"expected samples in the shards, found none in {paths[0]} and {len(paths) - 1} more")
    keys, *numbers = zip(*rows, strict=True)
    named = zip(names, numbers, strict=True)
    # Names that are no UTF-8 come from tarfile with their bytes as surrogates.
    return {"keys": np.array([key.encode("utf-8", "surrogateescape") for key in keys])} | {
        name: np.array(values, dtype=np.int64) for name, values in named
    }
