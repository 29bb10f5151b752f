"""The samples of a tar shard, from its headers and labels alone.

A sample is a run of members with one key: `KEY.jpg` and `KEY.cls` (its label as digits) or `KEY.json` (its label under
"label"); of captioned shards `KEY.jpg` and `KEY.txt`, and labels, where there are any, are not read. Which part of a
name is the key, and how braces in shard names expand, is decided by webdataset itself.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hrvlm.data.decoding import SUFFIXES
from hrvlm.data.listing import LeftOut, is_hidden

MAX_IMAGE_BYTES = 2**28
MAX_LABEL_BYTES = 2**20
MAX_LABEL = 2**31 - 1
Found = TypeVar("Found")
CAPTION = "txt"
_LABELS = ("cls", "json")


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
        return self.places[next(suffix for suffix in SUFFIXES if suffix in self.places)]

    @property
    def label(self) -> int:
        """The label; `cls` counts before `json`."""
        return self.labels["cls" if "cls" in self.labels else "json"]

    @property
    def caption(self) -> tuple[int, int]:
        """Offset and size of the caption."""
        return self.places[CAPTION]


def scan_shard(path: str, left_out: LeftOut | None = None, *, captions: bool = False) -> Iterator[Sample]:
    """The samples of one shard; only headers and labels are read.

    Args:
        path: A tar file.
        left_out: Counts files that are hidden or have no suffix, and so belong to no sample.
        captions: Whether samples have captions instead of labels.

    Raises:
        ValueError: See `read_index`.
    """
    left_out = left_out or LeftOut()
    _, base_plus_ext = webdataset_modules()
    sample: Sample | None = None
    try:
        with _Bounded(path) as stream, _read(lambda: tarfile.open(fileobj=stream, mode="r:")) as tar:
            for member in _files(tar):
                key, suffix = (None, "") if is_hidden(member.name) else base_plus_ext(member.name)
                if key is None:
                    left_out.add("hidden or without a suffix", member.name)
                    continue
                if sample is None or key != sample.key:
                    if sample is not None:
                        yield _whole(sample, captions)
                    sample = Sample(key, path)
                _add(sample, suffix.lower(), member, None if captions else tar)
            _check_end(tar)
    except (tarfile.TarError, OSError, EOFError) as error:
        last = f" after sample {sample.key!r}" if sample else ""
        raise ValueError(
            f"expected a whole tar file as shard {path}, got one damaged{last} ({error}); replace it"
        ) from error
    if sample is not None:
        yield _whole(sample, captions)


class _Bounded(io.FileIO):
    """A file of which little is read at a time: a tar header may state any size for what belongs to it."""

    def read(self, size: int | None = -1) -> bytes:
        """Some bytes; refuses to read more than headers and labels have."""
        if size is None or not 0 <= size <= 2 * MAX_LABEL_BYTES:
            raise tarfile.ReadError(f"a header that says it is {size} bytes long")
        return super().read(size)


def _files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The plain files of a tar file."""
    while (member := _read(tar.next)) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # else every header is kept
        if member.isfile():
            yield member


def _read(function: Callable[[], Found]) -> Found:
    """What a function that reads a header gives; tarfile lets errors of numbers and of endless headers through."""
    try:
        return function()
    except (ValueError, OverflowError, RecursionError) as error:
        raise tarfile.ReadError(f"a header that cannot be read: {error}") from error


def _check_end(tar: tarfile.TarFile) -> None:
    """Refuses bytes after the last member that are no end mark: tarfile takes a damaged header for the end."""
    assert tar.fileobj is not None, "open while it is read"
    tar.fileobj.seek(tar.offset)
    if any(tar.fileobj.read(tarfile.BLOCKSIZE)):
        raise tarfile.ReadError("bytes that are no header")


def _add(sample: Sample, suffix: str, member: tarfile.TarInfo, labels_of: tarfile.TarFile | None) -> None:
    """Notes where a member lies, and reads it if it is a label and labels are asked for."""
    if suffix in sample.places:
        raise ValueError(f"expected one {suffix!r} of sample {sample.key!r} in shard {sample.path}, found two")
    where = f"{sample.key}.{suffix} in shard {sample.path}"
    most = MAX_LABEL_BYTES if suffix in (*_LABELS, CAPTION) else MAX_IMAGE_BYTES
    read = SUFFIXES + (_LABELS if labels_of is not None else (CAPTION,))
    if suffix in read and (member.size > most or member.issparse()):
        kind = "sparse" if member.issparse() else f"of {member.size}"
        raise ValueError(f"expected at most {most} bytes as {where}, stored in full, got a file {kind}; mend the shard")
    sample.places[suffix] = (member.offset_data, member.size)
    if suffix in _LABELS and labels_of is not None:
        stream = labels_of.extractfile(member)
        assert stream is not None, "a plain file has content"
        label = _label(stream.read(), suffix, where)
        if label is not None:
            sample.labels[suffix] = label


def _label(content: bytes, suffix: str, where: str) -> int | None:
    """The label that a file states; None for JSON without one.

    Raises:
        ValueError: If it is no label.
    """
    try:
        value = json.loads(content)
        label = value if suffix == "cls" else value.get("label")
    except (ValueError, AttributeError, RecursionError):  # no JSON, no text, or no mapping: the same to the user
        label = content
    if type(label) is int and 0 <= label <= MAX_LABEL:
        return label
    if suffix == "json" and label is None:
        return None
    raise ValueError(f"expected a label 0, 1, … in {where}, at most {MAX_LABEL}, got {content[:40]!r}")


def _whole(sample: Sample, captions: bool) -> Sample:
    """The sample, if it has image and label, or image and caption."""
    if not any(suffix in sample.places for suffix in SUFFIXES):
        what = f"an image ({', '.join(SUFFIXES)})"
    elif captions and CAPTION not in sample.places:
        what = "a caption (.txt)"
    elif not captions and not sample.labels:
        what = 'a label (.cls, or "label" in .json)'
    else:
        return sample
    found = ", ".join(sample.places)
    raise ValueError(f"expected {what} of sample {sample.key!r} in shard {sample.path}, found {found}; mend the shard")
