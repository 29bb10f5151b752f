"""Opens any source of pictures by one text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrvlm.data.cifar import CifarDataset
from hrvlm.data.decoding import WHITE, Colour
from hrvlm.data.emoji_pack.dataset import emoji
from hrvlm.data.folder import FolderDataset
from hrvlm.data.manifest import Columns, read_manifest
from hrvlm.data.names import tree_names
from hrvlm.data.references import picture_files
from hrvlm.data.shard_files import read_classes
from hrvlm.data.shards import ShardDataset
from hrvlm.data.sources.collection import ImageCollection
from hrvlm.data.sources.kinds import SourceKind, kind_of, splits_of, tar_files
from hrvlm.data.sources.listed import ListedPictures
from hrvlm.data.tar_index import read_index, shard_paths
from hrvlm.data.zero_shot import load
from hrvlm.geometry.labels import NO_LABEL

IMAGE_SIZE = 224
EMOJI_SIZE, EMOJI_SPLIT = 64, "validation"
CLASS_FILES = ("classes.txt", "classnames.txt")  # beside shards: a class a line, in the order of the labels


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
    kind = kind_of(source)
    if split is not None and kind not in ("splits", "emoji", "cifar"):
        raise ValueError(f"expected no split of {source}, which has none, got {split!r}")
    return _OPEN[kind](source, asked)


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
    _, _, named = source.partition(":")
    if named and asked.split not in (None, named):
        raise ValueError(f"expected one split of the emoji, got {named!r} in data and {asked.split!r} as split")
    if asked.image_size not in (None, EMOJI_SIZE):
        raise ValueError(f"expected image_size {EMOJI_SIZE} of the emoji, which are drawn so, got {asked.image_size}")
    split = named or asked.split or EMOJI_SPLIT
    data = emoji(split)
    return ImageCollection(data, name=f"emoji:{split}", class_ids=data.class_names)


def _open_shards(source: str, asked: _Asked) -> ImageCollection:
    shards = "::".join(map(str, _shard_files(source)))
    folder = Path(shard_paths(shards)[0]).parent
    file = next((folder / name for name in CLASS_FILES if (folder / name).is_file()), None)
    labels = read_index(shard_paths(shards), keep=asked.keep_index).labels
    ids = list(map(str, range(int(labels.max()) + 1))) if file is None else read_classes(str(file))
    given: dict[str, Any] = {"image_size": asked.size, "background": asked.background}
    data = ShardDataset(shards, ids, keep_index=asked.keep_index, **given)
    found = ImageCollection(data, name=Path(source).name, class_ids=ids)
    if file is None:
        found.class_ids = found.class_names = None
    return found


def _shard_files(source: str) -> list[Path | str]:
    """The shards that a text names; braces are left to the index."""
    path = Path(source)
    if path.is_dir():
        return list(tar_files(path))
    if path.is_file() or "{" in source or "::" in source:
        return [source]
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise ValueError(f"expected tar files that fit {source}, found none")
    return list(found)


def _open_manifest(source: str, asked: _Asked) -> ImageCollection:
    entries = read_manifest(source, asked.columns)
    ids = sorted({entry.label for entry in entries if entry.label is not None})
    place = {key: number for number, key in enumerate(ids)}
    labels = [NO_LABEL if entry.label is None else place[entry.label] for entry in entries]
    given: dict[str, Any] = {"image_size": asked.size, "background": asked.background}
    data = ListedPictures([entry.path for entry in entries], labels, **given)
    classes: dict[str, Any] = {"class_ids": ids, "class_names": tree_names(None, ids)} if ids else {}
    return ImageCollection(data, name=Path(source).name, labels=labels, **classes)


def _open_folder(source: str, asked: _Asked) -> ImageCollection:
    data = FolderDataset(source, image_size=asked.size, background=asked.background)
    return ImageCollection(data, name=Path(source).resolve().name, class_ids=data.class_ids)


def _open_pictures(source: str, asked: _Asked) -> ImageCollection:
    files = picture_files([source])
    labels = [NO_LABEL] * len(files)
    data = ListedPictures(files, labels, image_size=asked.size, background=asked.background)
    return ImageCollection(data, name=Path(source).resolve().name, labels=labels)


def _open_cifar(source: str, asked: _Asked) -> ImageCollection:
    split = asked.split or "test"
    data = CifarDataset(source, split, image_size=asked.size)  # type: ignore[arg-type]  # which it checks
    return ImageCollection(data, name=f"{Path(source).resolve().name}:{split}", class_ids=data.class_ids)


def _open_split(source: str, asked: _Asked) -> ImageCollection:
    known = splits_of(Path(source))
    if asked.split not in known:
        raise ValueError(
            f"expected split of {', '.join(known)}, which are the folders of folders in {source}, got {asked.split!r}"
        )
    inner = open_images(
        str(Path(source) / str(asked.split)),
        image_size=asked.image_size,
        background=asked.background,
        keep_index=asked.keep_index,
    )
    inner.name = f"{Path(source).resolve().name}:{asked.split}"
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
