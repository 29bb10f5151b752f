"""Folders of pictures, one sub-folder per class: what is read, and what is left out, counted and named."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path, PurePath
from typing import Any

from torchvision.datasets import ImageFolder

from hrvlm.data.decoding import SUFFIXES, read_image
from hrvlm.trees.class_lists import class_folders
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


class PictureFolder(ImageFolder):
    """torchvision's `ImageFolder` without what is hidden, and with every format that is read.

    Attributes:
        classes: Class ids: names of the sub-folders in composed Unicode, sorted.
        samples: Path and label of every picture, by label, then by path.
    """

    def __init__(self, folder: str | Path, *, loader: Callable[[str], Any] = read_image) -> None:
        """Lists the pictures, and says what is left out.

        Args:
            folder: One sub-folder per class.
            loader: Reads one picture.

        Raises:
            ValueError: If the folder is missing, or a class has no pictures.
        """
        self.left_out, self.folder = LeftOut(), Path(folder)
        try:
            super().__init__(str(folder), loader=loader, is_valid_file=self._reads, allow_empty=False)
        except OSError as error:
            raise ValueError(f"expected one sub-folder of images per class in {folder}: {error}") from error
        self.samples.sort(key=itemgetter(1))  # torchvision goes by the folders' own names
        self.left_out.tell(folder)

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        """Names of the class folders as they are, in the order of the class ids, and the label of each."""
        folders = class_folders(directory)
        if not folders:
            raise FileNotFoundError("there is none")
        for entry in sorted(Path(directory).iterdir()):
            if is_hidden(entry.name):
                self.left_out.add("hidden", entry.name)
            elif not entry.is_dir():
                self.left_out.add("beside the class folders", entry.name)
        return list(folders), {folder.name: label for label, folder in enumerate(folders.values())}

    def _reads(self, path: str) -> bool:
        return self.left_out.reads(os.path.relpath(path, self.folder))
