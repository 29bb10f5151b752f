"""Which file each image of a run is: `images.jsonl` beside its rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
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
    lines = [json.dumps({"index": i, "path": p}, ensure_ascii=False) for i, p in image_paths(data, indices).items()]
    if lines:
        write_whole(folder / IMAGES, "".join(f"{line}\n" for line in lines))


def read_image_paths(folder: Path) -> dict[int, str]:
    """Files by index, as `images.jsonl` of a folder has them; none where there is no such file.

    Raises:
        ValueError: If a line is none of it.
    """
    path, decoder = folder / IMAGES, msgspec.json.Decoder(_Line)
    if not path.is_file():
        return {}
    found = dict[int, str]()
    for number, line in iterate_lines(path):
        try:
            image = decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise ValueError(f"expected index and path of an image in line {number} of {path}, got {error}") from error
        found[image.index] = image.path
    return found
