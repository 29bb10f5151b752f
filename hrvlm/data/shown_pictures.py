"""Which pictures show the target of a semantic change for which image, or class, and in which order: as manifests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrvlm.data.manifest import SUFFIXES, manifest_rows
from hrvlm.trees.nodes import some
from hrvlm.trees.words import composed

_WANTED = 'the columns "path", either "image" or "label"'


@dataclass(frozen=True)
class ShownPicture:
    """A picture of a target, and whose.

    Attributes:
        path: The file.
        image: Number of the image in the data set, or its file; None if `label` says whose.
        label: Class, by id or name, of all images whose target it shows; None if `image` says whose.
        step: Its place in the sequence of the change; None where there is no order.
    """

    path: Path
    image: str | None
    label: str | None
    step: float | None


def is_manifest(path: str | Path) -> bool:
    """Whether a file lists pictures, rather than being one."""
    return Path(path).suffix.lower() in SUFFIXES


def read_shown(manifest: str | Path, *, ordered: bool = False) -> list[ShownPicture]:
    """The pictures of a manifest, in its order.

    Args:
        manifest: .csv, .tsv or .jsonl with the columns `path`, and `image` or `label`; paths are relative to it.
        ordered: Whether each picture has a `step`, a number by which those of an image are put in order.

    Raises:
        ValueError: In one sentence, if columns lack or are unknown, or files are not there.
    """
    path = Path(manifest)
    if not is_manifest(path):
        raise ValueError(f"expected a manifest ({', '.join(SUFFIXES)}) of pictures of the target, got {manifest}")
    found = [_picture(path, number, row, ordered) for number, row in manifest_rows(path)]
    if not found:
        raise ValueError(f"expected at least one picture in the manifest {path}, got none")
    missing = [str(picture.path) for picture in found if not picture.path.is_file()]
    if missing:
        raise ValueError(
            f"expected the files of the manifest {path}, {len(missing)} of {len(found)} are missing: "
            f"{some(missing, 3)}; their paths are relative to its folder"
        )
    return found


def _picture(manifest: Path, number: int, row: Mapping[str, Any], ordered: bool) -> ShownPicture:
    where = f"line {number} of {manifest}"
    step = {"step"} if ordered else set()
    if set(row) not in ({"path", "image"} | step, {"path", "label"} | step):
        wanted = _WANTED + (' and "step"' if ordered else "")
        raise ValueError(f"expected {wanted} in {where}, got {', '.join(map(repr, row))}")
    texts = {name: composed(str(value)).strip() for name, value in row.items() if value is not None}
    empty = [name for name in row if not texts.get(name)]
    if empty:
        raise ValueError(f"expected a value of {empty[0]!r} in {where}, got none")
    try:
        place = float(texts["step"]) if ordered else None
        if place is not None and not math.isfinite(place):
            raise ValueError
    except ValueError:
        raise ValueError(f"expected a number as 'step' in {where}, got {texts['step']!r:.60}") from None
    return ShownPicture(manifest.parent / texts["path"], texts.get("image"), texts.get("label"), place)


class ShownByImage:
    """The pictures of a manifest by image of a data set.

    Args:
        pictures: As `read_shown` gives them.
        data: Map-style data set; for labels it must name its classes, for files it must know its own.
        where: What messages call the manifest.

    Raises:
        ValueError: If the data set has no such image or class.
    """

    def __init__(self, pictures: Iterable[ShownPicture], data: Any, where: str) -> None:
        self._data = data
        self._of_image: dict[str, list[ShownPicture]] = {}
        self._of_label: dict[str, list[ShownPicture]] = {}
        for picture in pictures:
            chosen = self._of_image if picture.image is not None else self._of_label
            chosen.setdefault(self._image(picture.image, where, picture), []).append(picture)
        self._check_labels(where)
        self._check_files(where)

    def __call__(self, index: int) -> list[Path]:
        """Files for the image of an index, in their order; none where the manifest has none."""
        return [picture.path for picture in self.shown(index)]

    def shown(self, index: int) -> list[ShownPicture]:
        """The pictures for the image of an index, in their order; none where the manifest has none."""
        found = list(self._of_image.get(str(index), []))
        if self._of_image and (file := _file(self._data, index)) is not None:
            found += self._of_image.get(file, [])
        if self._of_label:
            label = int(self._data[index][1])
            for name in dict.fromkeys(names[label] for names in _names(self._data)) if label >= 0 else ():
                found += self._of_label.get(name, [])
        return sorted(found, key=lambda picture: picture.step or 0.0)

    def _image(self, image: str | None, where: str, picture: ShownPicture) -> str:
        if image is None:
            return str(picture.label)
        if not image.isdecimal():
            return str((Path(where).parent / image).resolve())
        if int(image) >= len(self._data):
            raise ValueError(f"expected images from 0 to below {len(self._data)} in {where}, got {image}")
        return str(int(image))

    def _check_labels(self, where: str) -> None:
        known = {name for names in _names(self._data) for name in names}
        unknown = [label for label in self._of_label if label not in known]
        if unknown:
            raise ValueError(f"expected classes of the data by id or name in {where}, got {some(unknown)}")

    def _check_files(self, where: str) -> None:
        files = [image for image in self._of_image if not image.isdecimal()]
        known = {_file(self._data, index) for index in range(len(self._data))} if files else set()
        unknown = [file for file in files if file not in known]
        if unknown:
            raise ValueError(
                f"expected images by their numbers in the data set or by their files in {where}, got {some(unknown)}, "
                "which are no files of it; paths are relative to the manifest's folder"
            )


def _names(data: Any) -> list[list[str]]:
    """Ids and names of the classes, as far as the data set knows them."""
    found = (getattr(data, "class_ids", None), getattr(data, "class_names", None))
    return [[composed(name) for name in names] for names in found if names is not None]


def _file(data: Any, index: int) -> str | None:
    """The file of an image, if the data set knows it."""
    file = getattr(data, "file", None)
    return None if file is None else str(Path(file(index)).resolve())
