"""What a source of pictures holds, before any picture is opened; neither tensors nor torch are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrvlm.data.cifar_files import CifarSplit, read_cifar
from hrvlm.data.emoji_pack.splits import split_items
from hrvlm.data.listing import PictureFolder, picture_files
from hrvlm.data.manifest import Columns, read_manifest
from hrvlm.data.names import tree_names
from hrvlm.data.shard_files import read_classes
from hrvlm.data.sources.kinds import SourceKind, kind_of, splits_of, tar_files
from hrvlm.data.tar_index import check_labels, read_index, shard_paths
from hrvlm.data.zero_shot.class_names import plain

EMOJI_SPLIT = "validation"
CIFAR_SPLIT: CifarSplit = "test"
CLASS_FILES = ("classes.txt", "classnames.txt")  # beside shards: a class a line, in the order of the labels
NO_LABEL = -1


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The pictures of a source.

    Attributes:
        name: What tables call it.
        labels: Label of each picture, a position in the classes; -1 where it has none.
        files: File of each picture, where each is one.
        class_ids: Ids of the classes; None where nobody knows.
        class_names: The classes in words; None where nobody knows.
    """

    name: str
    labels: Sequence[int] | NDArray[np.int64]
    files: Sequence[Path] = ()
    class_ids: Sequence[str] | None = None
    class_names: Sequence[str] | None = None

    @property
    def labelled(self) -> bool:
        """Whether every picture has a label."""
        return NO_LABEL not in self.labels


def contents_of(source: str, split: str | None = None) -> Contents:
    """What a source holds.

    Args:
        source: See `hrvlm.data.open_images`, but no zero-shot set.
        split: As there.

    Raises:
        ValueError: As there.
    """
    return _CONTENTS[checked_kind(source, split)](source, split)


def checked_kind(source: str, split: str | None) -> SourceKind:
    """What kind of source a text names.

    Raises:
        ValueError: If it is none, or a split is asked of a kind that has none.
    """
    kind = kind_of(source)
    if split is not None and kind not in ("splits", "emoji", "cifar"):
        raise ValueError(f"expected no split of {source}, which has none, got {split!r}")
    return kind


def of_manifest(source: str, columns: Columns | None = None) -> Contents:
    """The pictures of a manifest, with the classes that its labels name, sorted."""
    entries = read_manifest(source, columns)
    ids = sorted({entry.label for entry in entries if entry.label is not None})
    place = {key: number for number, key in enumerate(ids)}
    return Contents(
        name=Path(source).name,
        labels=[NO_LABEL if entry.label is None else place[entry.label] for entry in entries],
        files=[entry.path for entry in entries],
        class_ids=ids or None,
        class_names=tree_names(None, ids) if ids else None,
    )


def of_pictures(source: str) -> Contents:
    """The pictures of a folder without classes."""
    files = picture_files([source])
    return Contents(name=Path(source).resolve().name, labels=[NO_LABEL] * len(files), files=files)


def of_shards(source: str, *, keep_index: bool) -> Contents:
    """The samples of tar shards; their classes are those of a file beside them."""
    paths = shard_paths(shards_named(source))
    index = read_index(paths, keep=keep_index)
    beside = (Path(paths[0]).parent / name for name in CLASS_FILES)
    file = next((path for path in beside if path.is_file()), None)
    ids = None if file is None else read_classes(str(file))
    if ids is None:
        return Contents(name=Path(source).name, labels=index.labels)
    check_labels(index, len(ids))
    return Contents(name=Path(source).name, labels=index.labels, class_ids=ids, class_names=tree_names(None, ids))


def shards_named(source: str) -> str:
    """The shards that a text names, with "::" between them; braces are left as they are."""
    path = Path(source)
    if path.is_dir():
        return "::".join(map(str, tar_files(path)))
    if path.is_file() or "{" in source or "::" in source:
        return source
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise ValueError(f"expected tar files that fit {source}, found none")
    return "::".join(map(str, found))


def emoji_split(source: str, split: str | None) -> str:
    """The split of the emoji that is named, by "emoji:SPLIT" or apart.

    Raises:
        ValueError: If two are.
    """
    _, _, named = source.partition(":")
    if named and split not in (None, named):
        raise ValueError(f"expected one split of the emoji, got {named!r} in data and {split!r} as split")
    return named or split or EMOJI_SPLIT


def folder_of_split(source: str, split: str | None) -> str:
    """The folder of a split in a folder of splits.

    Raises:
        ValueError: If there is none of this name.
    """
    known = splits_of(Path(source))
    if split not in known:
        raise ValueError(
            f"expected split of {', '.join(known)}, which are the folders of folders in {source}, got {split!r}"
        )
    return str(Path(source) / split)


def name_of_split(source: str, split: str | None) -> str:
    """What tables call a split of a folder of splits, or of CIFAR."""
    return f"{Path(source).resolve().name}:{split}"


def _of_folder(source: str) -> Contents:
    found = PictureFolder(source)
    names = tree_names(None, found.classes)
    files = [Path(path) for path, _ in found.samples]
    name = Path(source).resolve().name
    return Contents(name=name, labels=found.targets, files=files, class_ids=found.classes, class_names=names)


def _of_emoji(source: str, split: str | None) -> Contents:
    named = emoji_split(source, split)
    classes, items = split_items(named)
    ids = [entry.name for entry in classes]
    return Contents(name=f"emoji:{named}", labels=[label for label, _ in items], class_ids=ids, class_names=ids)


def _of_cifar(source: str, split: str | None) -> Contents:
    chosen = split or CIFAR_SPLIT
    found = read_cifar(source, chosen)  # type: ignore[arg-type]  # which it checks
    names = [plain(name) for name in found.class_ids]
    name = name_of_split(source, chosen)
    return Contents(name=name, labels=found.labels, class_ids=found.class_ids, class_names=names)


def _of_split(source: str, split: str | None) -> Contents:
    return replace(contents_of(folder_of_split(source, split)), name=name_of_split(source, split))


def _of_set(source: str, split: str | None) -> Contents:
    raise ValueError(f"expected a folder or file of pictures, got the zero-shot set {source}, which needs no setup")


_CONTENTS: dict[SourceKind, Callable[[str, str | None], Contents]] = {
    "set": _of_set,
    "emoji": _of_emoji,
    "shards": lambda source, split: of_shards(source, keep_index=False),
    "manifest": lambda source, split: of_manifest(source),
    "cifar": _of_cifar,
    "class folders": lambda source, split: _of_folder(source),
    "pictures": lambda source, split: of_pictures(source),
    "splits": _of_split,
}
