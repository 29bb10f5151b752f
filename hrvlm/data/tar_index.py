"""Where the samples of tar shards lie, so that shards can be read in any order, from any process.

A sample is a run of members with one key: `KEY.jpg` and `KEY.cls` (its label as digits) or `KEY.json` (its label under
"label"). Which part of a name is the key, and how braces in shard names expand, is decided by webdataset itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "ppm")
_FORMAT = 1


def webdataset_modules() -> tuple[Any, Any]:
    """Its rules for shard names and for keys.

    Raises:
        ValueError: If the package is not installed.
    """
    try:
        from webdataset.shardlists import expand_urls
        from webdataset.tariterators import base_plus_ext
    except ImportError as error:
        raise ValueError(
            'expected the package webdataset to read shards; install it with: pip install "hrvlm[shards]"'
        ) from error
    return expand_urls, base_plus_ext


def shard_paths(shards: str) -> list[str]:
    """Expands a shard name with braces, such as "imagenet/train-{000000..000127}.tar"; "::" joins several.

    Raises:
        ValueError: If it names a URL or a pipe, or a shard is missing or named twice.
    """
    expand_urls, _ = webdataset_modules()
    if ":" in shards.replace("::", ""):
        raise ValueError(f"expected local tar files as shards, got {shards}; copy or mount them first")
    paths: list[str] = expand_urls(shards)
    missing = [path for path in paths if not Path(path).is_file()]
    if missing or not paths:
        raise ValueError(f"expected {len(paths)} tar files of {shards}, missing {len(missing)}: {missing[:1]}")
    if len(set(paths)) < len(paths):
        raise ValueError(f"expected every shard once, got one twice in {shards}")
    return paths


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
        return f"{self.keys[position].decode()!r} in shard {self.paths[int(self.shards[position])]}"


def read_index(paths: Sequence[str], folder: str | Path | None = None) -> TarIndex:
    """The index of some shards, from a file of an earlier call where the shards are still the same.

    Reading all headers of ImageNet-1k takes minutes, reading the file an instant. Nothing but time is lost if the file
    cannot be written.

    Args:
        paths: The shards.
        folder: Of the file; beside the first shard if None.

    Raises:
        ValueError: If a shard is damaged or a sample lacks its image or label; the message names shard and key.
    """
    state = json.dumps([_FORMAT, [(path, (at := Path(path).stat()).st_size, at.st_mtime_ns) for path in paths]])
    name = hashlib.sha256(state.encode()).hexdigest()[:16]
    file = Path(folder or Path(paths[0]).parent) / f".hrvlm-index-{name}.npz"
    arrays = _load(file)
    if arrays is None:
        arrays = _scan(paths)
        _save(file, arrays)
    return TarIndex(tuple(paths), **arrays)


def _load(file: Path) -> dict[str, Any] | None:
    """A stored index; None if there is none, or one that was cut short."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("keys", "shards", "offsets", "sizes", "labels")}
    except Exception:  # of many kinds; whatever is wrong with it, the shards themselves are read instead
        return None


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
    rows = [
        (sample.key, number, *sample.image, sample.label)
        for number, path in enumerate(paths)
        for sample in scan_shard(path)
    ]
    if not rows:
        raise ValueError(f"expected samples in the shards, found none in {paths[0]} and {len(paths) - 1} more")
    keys, *numbers = zip(*rows, strict=True)
    named = zip(("shards", "offsets", "sizes", "labels"), numbers, strict=True)
    return {"keys": np.array([key.encode() for key in keys])} | {
        name: np.array(values, dtype=np.int64) for name, values in named
    }


@dataclass
class Sample:
    """Members with one key.

    Attributes:
        key: Common part of their names.
        path: The shard.
        places: Offset and size of each, by suffix.
        labels: What its label files say, by suffix.
    """

    key: str
    path: str
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def image(self) -> tuple[int, int]:
        """Offset and size of the image."""
        return self.places[next(suffix for suffix in IMAGE_SUFFIXES if suffix in self.places)]

    @property
    def label(self) -> int:
        """The label; `cls` counts before `json`."""
        return self.labels["cls" if "cls" in self.labels else "json"]


def scan_shard(path: str) -> Iterator[Sample]:
    """The samples of one shard; only headers and labels are read.

    Raises:
        ValueError: See `read_index`.
    """
    _, base_plus_ext = webdataset_modules()
    sample: Sample | None = None
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # else every header is kept
                key, suffix = base_plus_ext(member.name)
                if key is None or not member.isfile():
                    continue
                if sample is None or key != sample.key:
                    if sample is not None:
                        yield _whole(sample)
                    sample = Sample(key, path)
                _add(sample, suffix.lower(), member, tar)
            _check_end(tar)
    except (tarfile.TarError, OSError, EOFError) as error:
        last = f" after sample {sample.key!r}" if sample else ""
        raise ValueError(
            f"expected a whole tar file as shard {path}, got one damaged{last} ({error}); replace it"
        ) from error
    if sample is not None:
        yield _whole(sample)


def _check_end(tar: tarfile.TarFile) -> None:
    """Refuses bytes after the last member that are no end mark: tarfile takes a damaged header for the end."""
    assert tar.fileobj is not None, "open while it is read"
    tar.fileobj.seek(tar.offset)
    if any(tar.fileobj.read(tarfile.BLOCKSIZE)):
        raise tarfile.ReadError("bytes that are no header")


def _add(sample: Sample, suffix: str, member: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
    """Notes where a member lies, and reads it if it is a label."""
    if suffix in sample.places:
        raise ValueError(f"expected one {suffix!r} of sample {sample.key!r} in shard {sample.path}, found two")
    sample.places[suffix] = (member.offset_data, member.size)
    if suffix in ("cls", "json"):
        stream = tar.extractfile(member)
        assert stream is not None, "a plain file has content"
        content = stream.read()
        try:
            value = json.loads(content)
            label = value if suffix == "cls" else value.get("label")
        except (ValueError, AttributeError):  # no JSON, no text, or no mapping: the same to the user
            label = content
        if type(label) is int and label >= 0:
            sample.labels[suffix] = label
        elif suffix == "cls" or label is not None:
            raise ValueError(
                f"expected a label 0, 1, … in {sample.key}.{suffix} in shard {sample.path}, got {content[:40]!r}"
            )


def _whole(sample: Sample) -> Sample:
    """The sample, if it has image and label."""
    if not any(suffix in sample.places for suffix in IMAGE_SUFFIXES):
        what = f"an image ({', '.join(IMAGE_SUFFIXES)})"
    elif not sample.labels:
        what = 'a label (.cls, or "label" in .json)'
    else:
        return sample
    found = ", ".join(sample.places)
    raise ValueError(f"expected {what} of sample {sample.key!r} in shard {sample.path}, found {found}; mend the shard")
