"""Which file each image of a run is: `images.jsonl` beside its rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hrvlm.rows.fields import INDICES
from hrvlm.rows.lines import iterate_lines
from hrvlm.whole_files import write_whole

IMAGES = "images.jsonl"


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    index: Annotated[int, Meta(ge=0, lt=INDICES)]
    path: str
    data: str | None = None


def image_paths(data: Any, indices: Iterable[int]) -> dict[int, str]:
    """Files of images, relative to the folder that holds the whole data set; nothing of data without files.

    Of pictures that were chosen from a data set, it is the folder of all of them: whichever are chosen, and whichever
    are asked for, a file has one name.

    Args:
        data: map-style data set.
        indices: of the images.
    """
    order = list(indices)
    if (source := getattr(data, "source", None)) is not None:  # such as a picture in a shard
        return {index: str(source(index)) for index in order}
    if (file := getattr(data, "file", None)) is None or not order:
        return {}
    whole = data.data if hasattr(getattr(data, "data", None), "file") else data
    folders = {os.path.dirname(whole.file(index)) for index in range(len(whole))}
    root = os.path.commonpath([os.path.abspath(folder) for folder in folders])
    return {index: Path(os.path.relpath(file(index), root)).as_posix() for index in order}


def write_image_paths(folder: Path, data: Any, indices: Iterable[int]) -> None:
    """Writes `images.jsonl` with a line {"index", "path"} per image, where the data set has files.

    Args:
        folder: of the rows.
        data: map-style data set.
        indices: of the images that there are rows of.
    """
    _write(folder, ({"index": index, "path": path} for index, path in image_paths(data, indices).items()))


def write_paths_of_several(folder: Path, sources: Iterable[tuple[str, Any, Iterable[int]]]) -> None:
    """The same of rows of several data sets, with a line {"data", "index", "path"} per image.

    Args:
        folder: of the rows.
        sources: name, data set, and indices of its images.
    """
    _write(
        folder,
        (
            {"data": name, "index": index, "path": path}
            for name, data, indices in sources
            for index, path in image_paths(data, indices).items()
        ),
    )


def read_image_paths(folder: Path) -> dict[int, str]:
    """Files by index, as `images.jsonl` of a folder has them; none where there is no such file.

    Raises:
        ValueError: If a line is none of it.
    """
    return {line.index: line.path for line in _read(folder) if line.data is None}


def read_paths_of_several(folder: Path) -> dict[tuple[str, int], str]:
    """Files by data set and index there, of a folder with rows of several; see `read_image_paths`."""
    return {(line.data, line.index): line.path for line in _read(folder) if line.data is not None}


def _write(folder: Path, found: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(each, ensure_ascii=False) for each in found]
    if lines:
        write_whole(folder / IMAGES, "".join(f"{line}\n" for line in lines))


def _read(folder: Path) -> Iterator[_Line]:
    path, decoder = folder / IMAGES, msgspec.json.Decoder(_Line)
    for number, line in iterate_lines(path) if path.is_file() else ():
        try:
            yield decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise ValueError(f"expected index and path of an image in line {number} of {path}, got {error}") from error
