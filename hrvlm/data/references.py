"""Pictures that show the target of a semantic change: files of the user, or the image itself in another appearance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from hrvlm.data.appearance import Appearance
from hrvlm.data.decoding import WHITE, read_image
from hrvlm.data.images import evaluation_transform
from hrvlm.data.listing import LeftOut


class ShownTarget(Protocol):
    """A semantic change whose target pictures may show."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def pictures(self) -> Sequence[str]:
        """Files, or folders of files."""

    @property
    def appearances(self) -> Sequence[dict[str, Any]]:
        """Settings of `Appearance`."""


class TargetPictures:
    """Pictures of targets, of the size that a data set has.

    Args:
        data: Map-style data set of (image (3, S, S) in [0, 1], label); for appearances it must be able to show its
            pictures in several ways, as `EmojiDataset` is.
    """

    def __init__(self, data: Any) -> None:
        self.data = data

    def __call__(self, change: ShownTarget, index: int) -> Tensor:
        """Pictures `(M, 3, S, S)` in [0, 1] that show the target of a change, for the image of an index.

        Raises:
            ValueError: If files are missing or damaged, or the data set cannot show the appearances.
        """
        if change.pictures:
            transform = evaluation_transform(int(self.data[index][0].shape[-1]))
            background = getattr(self.data, "background", WHITE)
            files = picture_files(change.pictures)
            return torch.stack([transform(read_image(str(path), background)) for path in files])
        if not hasattr(self.data, "shown"):
            kind = type(self.data).__name__
            raise ValueError(
                f"expected data that can be shown in several ways for the appearances of attribute {change.name!r}, "
                f"got {kind}: name pictures of the target instead"
            )
        try:
            appearances = [Appearance(**settings) for settings in change.appearances]
        except TypeError as error:
            raise ValueError(f"expected settings of an appearance in attribute {change.name!r}: {error}") from error
        shown: Tensor = self.data.shown(index, appearances)
        return shown


def picture_files(paths: Iterable[str], left_out: LeftOut | None = None) -> list[Path]:
    """The files named, and the pictures in the folders named, sorted.

    Args:
        paths: Files, and folders of files.
        left_out: Counts the files of folders that are no pictures.

    Raises:
        ValueError: If a path does not exist, or a folder holds no picture.
    """
    counted = left_out or LeftOut()
    found: list[Path] = []
    for path in map(Path, paths):
        inside = [file for file in sorted(path.glob("*")) if file.is_file() and counted.reads(file.name)]
        files = [path] if path.is_file() else inside
        if not files:
            raise ValueError(f"expected a picture or a folder of pictures at {path}, found none")
        found += files
    return found


def pictures_identity(changes: Iterable[ShownTarget]) -> dict[str, str]:
    """What tells whether the files that show targets have changed: a digest of their contents, if any are named.

    Says which files of the folders are no pictures and left out.
    """
    left_out = LeftOut()
    named = [file for change in changes for file in picture_files(change.pictures, left_out)]
    left_out.tell("pictures of targets")
    if not named:
        return {}
    digest = hashlib.sha256()
    for file in named:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return {"target_pictures": digest.hexdigest()}
