"""What kind of source of pictures a text names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, TypeAlias

from hrvlm.data.cifar_files import cifar_layout
from hrvlm.data.emoji_pack.splits import SPLITS
from hrvlm.data.listing import is_hidden, is_picture
from hrvlm.data.manifest import SUFFIXES
from hrvlm.data.zero_shot.registry import SETS
from hrvlm.trees.bounded_text import is_address
from hrvlm.trees.class_lists import class_folders

SourceKind: TypeAlias = Literal["set", "emoji", "shards", "manifest", "cifar", "class folders", "pictures", "splits"]
"""A zero-shot set; a split of the packaged emoji; tar shards; a table of files; CIFAR's files for Python; a folder of
class folders, of pictures without classes, or of folders that are one of the others each."""
EMOJI = "emoji"
SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")
_MANY = re.compile(r"[{}*?\[\]]|::")


def kind_of(source: str) -> SourceKind:
    """What kind of source a text names.

    Args:
        source: The name of a zero-shot set; "emoji" or "emoji:SPLIT"; tar shards, one or many by braces or wildcards; a
            .csv, .tsv or .jsonl file; or a folder of shards, of class folders, of pictures, of CIFAR's files for
            Python, or of such folders.

    Raises:
        ValueError: If it is none of these, or nothing is there; in one sentence that says what may be there.
    """
    path = Path(source)
    if is_address(source):
        raise ValueError(f"expected pictures on this machine, got the address {source}; copy them here first")
    if path.is_dir():
        return _kind_of_folder(path)
    if source in SETS:
        return "set"
    if source.partition(":")[0] == EMOJI and not path.exists():
        return "emoji"
    if path.suffix.lower() == ".tar" and (path.is_file() or _MANY.search(source)):
        return "shards"
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return "manifest"
    raise ValueError(
        "expected data as a folder of pictures, of class folders or of tar files, a .tar file or pattern, a .csv, .tsv "
        f"or .jsonl file, emoji:SPLIT ({', '.join(SPLITS)}), or a zero-shot set ({', '.join(SETS)}), got {source!r}, "
        f"which is {'another file' if path.is_file() else 'none of these and no existing file or folder'}"
    )


def tar_files(folder: Path) -> list[Path]:
    """The tar files in a folder, sorted."""
    return sorted(path for path in folder.glob("*.tar") if path.is_file() and not is_hidden(path.name))


def splits_of(folder: Path) -> list[str]:
    """Names of the folders in a folder of splits."""
    return list(class_folders(folder))


def _kind_of_folder(folder: Path) -> SourceKind:
    if cifar_layout(folder) is not None:
        return "cifar"
    if tar_files(folder):
        return "shards"
    inside = class_folders(folder)
    if not inside:
        if _has_pictures(folder):
            return "pictures"
        raise ValueError(f"expected pictures, class folders or tar files in {folder}, found none of them")
    named = any(name.lower() in SPLIT_NAMES for name in inside)
    return "splits" if named and all(map(_may_be_split, inside.values())) else "class folders"


def _may_be_split(folder: Path) -> bool:
    return bool(class_folders(folder) or tar_files(folder)) and not _has_pictures(folder)


def _has_pictures(folder: Path) -> bool:
    return any(entry.is_file() and not is_hidden(entry.name) and is_picture(entry.name) for entry in folder.iterdir())
