"""Opens any source of pictures by one text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrvlm.data.cifar import CifarDataset
from hrvlm.data.decoding import WHITE, Colour
from hrvlm.data.emoji_pack.dataset import emoji
from hrvlm.data.folder_sets import FolderDataset
from hrvlm.data.manifest import Columns
from hrvlm.data.shard_sets import ShardDataset
from hrvlm.data.sources.collection import ImageCollection
from hrvlm.data.sources.contents import (
    CIFAR_SPLIT,
    Contents,
    checked_kind,
    emoji_split,
    folder_of_split,
    name_of_split,
    of_manifest,
    of_pictures,
    of_shards,
    shards_named,
)
from hrvlm.data.sources.kinds import SourceKind
from hrvlm.data.sources.listed import ListedPictures
from hrvlm.data.zero_shot import load

IMAGE_SIZE = 224
EMOJI_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """How a source is opened; see `open_images`."""

    root: str | None
    split: str | None
    image_size: int | None
    background: Colour
    columns: Columns | None
    keep_index: bool

    @property
    def size(self) -> int:
        return IMAGE_SIZE if self.image_size is None else self.image_size


def open_images(
    source: str,
    *,
    root: str | None = None,
    split: str | None = None,
    image_size: int | None = None,
    background: Colour = WHITE,
    columns: Columns | None = None,
    keep_index: bool = True,
) -> ImageCollection:
    """Opens pictures, wherever they come from.

    Args:
        source: A zero-shot set such as "cifar10" (with `root`); "emoji:unseen_artist"; tar shards
            ("val-{000..006}.tar", "val/*.tar"); a manifest (.csv, .tsv, .jsonl); a folder of class folders, of pictures
            without classes, of tar files, of CIFAR's files for Python, or of splits that are such folders.
        root: Folder that holds the zero-shot sets; plays no part for other sources.
        split: Split of the emoji or of CIFAR ("test" if None), or name of one of the folders in a folder of splits.
        image_size: Side of the pictures, in pixels: the pixels in which budgets and radii are stated. None for 224; the
            emoji have 64.
        background: What transparent pixels are blended onto, in 8 bits.
        columns: What the columns of a manifest are called.
        keep_index: Whether the index of shards, if it had to be made, is kept beside them.

    Returns:
        A map-style data set of (image (3, image_size, image_size) in [0, 1], label), with what is known of its classes.
        Pictures without a label have -1.

    Raises:
        ValueError: In one sentence, if nothing of the kind is there, it cannot be read, or it has no such split.
    """
    asked = _Asked(
        root=root, split=split, image_size=image_size, background=background, columns=columns, keep_index=keep_index
    )
    return _OPEN[checked_kind(source, split)](source, asked)


def _open_set(source: str, asked: _Asked) -> ImageCollection:
    if asked.root is None:
        raise ValueError(f"expected root, the folder that holds the zero-shot set {source}, got none")
    data = load(source, asked.root, image_size=asked.size)
    return ImageCollection(data, name=source, class_ids=_ids(data))


def _ids(data: Any) -> list[str]:
    """What a zero-shot set's files call its classes, where they name each once; else their names."""
    ids = [str(each) for each in getattr(data.data, "classes", getattr(data.data, "categories", None)) or ()]
    names: list[str] = data.class_names
    return ids if len(ids) == len(names) and len(set(ids)) == len(ids) else list(names)


def _open_emoji(source: str, asked: _Asked) -> ImageCollection:
    split = emoji_split(source, asked.split)
    if asked.image_size not in (None, EMOJI_SIZE):
        raise ValueError(f"expected image_size {EMOJI_SIZE} of the emoji, which are drawn so, got {asked.image_size}")
    data = emoji(split)
    return ImageCollection(data, name=f"emoji:{split}", class_ids=data.class_names)


def _open_shards(source: str, asked: _Asked) -> ImageCollection:
    held = of_shards(source, keep_index=asked.keep_index)
    ids = list(map(str, range(int(np.max(held.labels)) + 1))) if held.class_ids is None else list(held.class_ids)
    given: dict[str, Any] = {"image_size": asked.size, "background": asked.background}
    data = ShardDataset(shards_named(source), ids, keep_index=asked.keep_index, **given)
    found = ImageCollection(data, name=held.name, class_ids=ids)
    if held.class_ids is None:
        found.class_ids = found.class_names = None
    return found


def _open_manifest(source: str, asked: _Asked) -> ImageCollection:
    return _listed(of_manifest(source, asked.columns), asked)


def _listed(held: Contents, asked: _Asked) -> ImageCollection:
    """Pictures that are files each."""
    data = ListedPictures(held.files, list(held.labels), image_size=asked.size, background=asked.background)
    classes: dict[str, Any] = {"class_ids": held.class_ids, "class_names": held.class_names}
    return ImageCollection(data, name=held.name, labels=list(held.labels), **classes)


def _open_folder(source: str, asked: _Asked) -> ImageCollection:
    data = FolderDataset(source, image_size=asked.size, background=asked.background)
    return ImageCollection(data, name=Path(source).resolve().name, class_ids=data.class_ids)


def _open_pictures(source: str, asked: _Asked) -> ImageCollection:
    return _listed(of_pictures(source), asked)


def _open_cifar(source: str, asked: _Asked) -> ImageCollection:
    split = asked.split or CIFAR_SPLIT
    data = CifarDataset(source, split, image_size=asked.size)  # type: ignore[arg-type]  # which it checks
    return ImageCollection(data, name=name_of_split(source, split), class_ids=data.class_ids)


def _open_split(source: str, asked: _Asked) -> ImageCollection:
    inner = open_images(
        folder_of_split(source, asked.split),
        image_size=asked.image_size,
        background=asked.background,
        keep_index=asked.keep_index,
    )
    inner.name = name_of_split(source, asked.split)
    return inner


_OPEN: dict[SourceKind, Callable[[str, _Asked], ImageCollection]] = {
    "set": _open_set,
    "emoji": _open_emoji,
    "shards": _open_shards,
    "manifest": _open_manifest,
    "cifar": _open_cifar,
    "class folders": _open_folder,
    "pictures": _open_pictures,
    "splits": _open_split,
}
