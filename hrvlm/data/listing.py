"""Folders of pictures: what is read, and what is left out, counted and named."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from hrvlm.data.decoding import SUFFIXES, read_image
from hrvlm.trees.class_lists import class_folders
from hrvlm.trees.nodes import some
from hrvlm.trees.words import printable

_log = logging.getLogger(__name__)


def is_hidden(path: str | PurePath) -> bool:
    """Whether a part of a relative path is hidden, as `._name.png` and `.ipynb_checkpoints` are."""
    return any(part.startswith(".") and part not in (".", "..") for part in PurePath(path).parts)


def is_picture(path: str | PurePath) -> bool:
    """Whether the suffix is one of a format that is read."""
    return PurePath(path).suffix.lower().removeprefix(".") in SUFFIXES


class LeftOut:
    """Counts what is left out of a data set, and says so once."""

    def __init__(self) -> None:
        """Nothing is left out yet."""
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, kind: str, example: str) -> None:
        """Counts one more of a kind."""
        self.counts[kind] += 1
        self.examples.setdefault(kind, example)

    def tell(self, where: object) -> None:
        """Says how many of each kind were left out, with the first of each."""
        if self.counts:
            kinds = ", ".join(f"{n} {kind} (such as {self.examples[kind]})" for kind, n in self.counts.most_common())
            _log.warning("%s", printable(f"{where}: left out {kinds}"))

    def reads(self, path: str | PurePath) -> bool:
        """Whether a file, by its relative path, is a picture to be read; counts it if not."""
        if is_hidden(path):
            self.add("hidden", str(path))
        elif not is_picture(path):
            self.add(f"of suffix {PurePath(path).suffix!r}", str(path))
        else:
            return True
        return False


class PictureFolder:
    """Pictures of class folders, whatever is in these besides: torchvision's `ImageFolder` layout.

    Attributes:
        classes: Class ids: names of the sub-folders in composed Unicode, sorted.
        samples: Path and label of every picture, by label, then by path.
        loader: Reads one picture.
    """

    def __init__(self, folder: str | Path, *, loader: Callable[[str], Any] = read_image) -> None:
        """Lists the pictures, and says what is left out.

        Args:
            folder: One sub-folder per class.
            loader: Reads one picture.

        Raises:
            ValueError: If the folder is missing, or a class has no pictures.
        """
        self.folder, self.loader, left_out = Path(folder), loader, LeftOut()
        try:
            folders = self._class_folders(left_out)
            of_class = [list(self._pictures(inside, left_out)) for inside in folders.values()]
        except OSError as error:
            raise ValueError(f"expected one sub-folder of images per class in {folder}: {error}") from error
        self.classes = list(folders)
        bare = [name for name, files in zip(self.classes, of_class, strict=True) if not files]
        if bare:
            raise ValueError(
                f"expected one sub-folder of images per class in {folder}, found no picture of {some(bare)}"
            )
        self.samples = [(path, label) for label, files in enumerate(of_class) for path in files]
        left_out.tell(folder)

    @property
    def targets(self) -> list[int]:
        """Labels of all pictures."""
        return [label for _, label in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        return self.loader(path), label

    def _class_folders(self, left_out: LeftOut) -> dict[str, Path]:
        """The class folders by id; counts what lies beside them."""
        folders = class_folders(self.folder)
        if not folders:
            raise FileNotFoundError("there is none")
        for entry in sorted(self.folder.iterdir()):
            if is_hidden(entry.name):
                left_out.add("hidden", entry.name)
            elif not entry.is_dir():
                left_out.add("beside the class folders", entry.name)
        return folders

    def _pictures(self, folder: Path, left_out: LeftOut) -> Iterator[str]:
        """Pictures in a folder and all below it, sorted by folder, then by name."""
        for place, _, names in sorted(os.walk(folder, followlinks=True)):
            for path in (os.path.join(place, name) for name in sorted(names)):
                if left_out.reads(os.path.relpath(path, self.folder)):
                    yield path


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
