"""Rows of files by image, one image in memory at a time, wherever in the files its rows lie.

A first look notes where the rows of each image are, a few bytes per stretch of rows that follow each other; then the
rows of one image after another are read. So what rows say of each other can be checked, however many there are and in
whatever order.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from hrvlm.rows.fields import INDICES
from hrvlm.rows.lines import iterate_lines

Found: TypeAlias = tuple[str, "bytes | Mapping[str, Any]"]
"""Where a row is, in words, and the row or its line."""


class _Head(msgspec.Struct):
    index: Annotated[int, Meta(ge=0, lt=INDICES)]


_HEAD = msgspec.json.Decoder(_Head)


class ImageRows:
    """Rows of some files, image by image; a line that a killed run left in two files counts once.

    Args:
        paths: files of JSON lines.

    Attributes:
        count: number of whole lines.
        odd: lines that name no image, with where they are; at most a thousand.
        num_odd: how many lines name no image.
        torn: whether a file ends within a line, as a killed run leaves it.

    Raises:
        BadLine: if a file is no text.
    """

    MOST_ODD = 1000

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]
        self._names = [path.name for path in self.paths]
        self.count = 0
        self.odd: list[Found] = []
        self.num_odd = 0
        self.torn = False
        self._places: dict[int, array[int]] = {}
        for file, path in enumerate(self.paths):
            self._look(file, path)

    def _look(self, file: int, path: Path) -> None:
        offset, last, places = 0, None, array("q")
        for number, line in iterate_lines(path):
            self.count += 1
            length = len(line) + 1
            try:
                index = _HEAD.decode(line).index
            except (msgspec.MsgspecError, ValueError, RecursionError):
                index = None
                self.num_odd += 1
                if len(self.odd) < self.MOST_ODD:
                    self.odd.append((self._where(file, number), line))
            if index is not None and index == last:
                places[-1] += length
            elif index is not None:
                places = self._places.setdefault(index, array("q"))
                places.extend((file, number, offset, length))
            last = index
            offset += length
        self.torn |= offset < path.stat().st_size

    def _where(self, file: int, number: int) -> str:
        return f"{self._names[file]}, line {number}"

    @property
    def indices(self) -> list[int]:
        """Images that there are rows of, in order."""
        return sorted(self._places)

    def __iter__(self) -> Iterator[list[Found]]:
        """The rows of one image after another, in the order of their files."""
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in self.paths]
            alone = len(files) == 1
            for index in self.indices:
                places, found, seen = self._places[index], list[Found](), dict[bytes, int]()
                for at in range(0, len(places), 4):
                    file, first, offset, length = places[at : at + 4]
                    files[file].seek(offset)
                    for number, line in enumerate(files[file].read(length)[:-1].split(b"\n"), start=first):
                        if alone or seen.setdefault(line, file) == file:
                            found.append((self._where(file, number), line))
                yield found


def by_image(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Found], list[list[Found]]]:
    """Rows that are in memory: those that name no image, and those of each image, in the order of images."""
    odd, images = list[Found](), dict[int, list[Found]]()
    for number, row in enumerate(rows, start=1):
        index = row.get("index")
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < INDICES:
            images.setdefault(index, []).append((f"row {number}", row))
        else:
            odd.append((f"row {number}", row))
    return odd, [images[index] for index in sorted(images)]
