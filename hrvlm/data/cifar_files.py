"""CIFAR-10 and CIFAR-100 as published "for Python": pickles, of which nothing but texts and arrays of bytes is read.

Unlike torchvision, which lays them out so and asks for the published files' sums, this reads any files of the layout.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

CifarSplit: TypeAlias = Literal["train", "test"]
SPLITS: tuple[CifarSplit, ...] = ("train", "test")
SIDE = 32
MAX_BYTES = 2**28  # of a file; the largest published one has 155 MB
_LATIN = "latin1"  # how texts of the published files are coded


@dataclass(frozen=True)
class Layout:
    """One of the two data sets.

    Attributes:
        folder: What its folder is called.
        files: Files of each split.
        meta: File with the names of the classes.
        names: Their key in it.
        labels: Key of the labels.
    """

    folder: str
    files: dict[CifarSplit, tuple[str, ...]]
    meta: str
    names: str
    labels: str


LAYOUTS = (
    Layout(
        "cifar-10-batches-py",
        {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
        "batches.meta", "label_names", "labels",
    ),
    Layout("cifar-100-python", {"train": ("train",), "test": ("test",)}, "meta", "fine_label_names", "fine_labels"),
)  # fmt: skip


def cifar_layout(folder: str | Path) -> tuple[Layout, Path] | None:
    """Which of the data sets a folder holds, or is, and where its files lie; None for neither."""
    for layout in LAYOUTS:
        for place in (Path(folder), Path(folder) / layout.folder):
            if place.name == layout.folder and (place / layout.meta).is_file():
                return layout, place
    return None


@dataclass(frozen=True, eq=False)
class CifarFiles:
    """What the files of a split hold.

    Attributes:
        place: The folder where they lie.
        class_ids: Names of the classes; a label is a position in this list.
        pixels: All pictures, (N, 32, 32, 3) in 8 bits.
        labels: Label of each.
    """

    place: Path
    class_ids: list[str]
    pixels: NDArray[np.uint8]
    labels: list[int]


def read_cifar(folder: str | Path, split: CifarSplit) -> CifarFiles:
    """Reads all pictures of a split.

    Args:
        folder: "cifar-10-batches-py" or "cifar-100-python", or the folder that holds one of them.
        split: "train" or "test".

    Raises:
        ValueError: If files are missing, hold anything but texts, numbers and arrays of bytes, or do not fit each
            other.
    """
    found = cifar_layout(folder)
    if found is None:
        names = " or ".join(f"{layout.folder}/{layout.meta}" for layout in LAYOUTS)
        raise ValueError(f"expected {names} in {folder}, found neither; unpack the archive for Python there")
    if split not in SPLITS:
        raise ValueError(f"expected split of {', '.join(SPLITS)}, got {split!r}")
    layout, place = found
    class_ids = [_text(name) for name in _field(place / layout.meta, layout.names, list)]
    batches = [_batch(place / name, layout.labels, len(class_ids)) for name in layout.files[split]]
    pixels = np.concatenate([pixels for pixels, _ in batches])
    return CifarFiles(place, class_ids, pixels, [label for _, labels in batches for label in labels])


class _Array:
    """Stands for an array while a file is read: its shape, type and bytes."""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.type, self.by_columns, self.content = state

    def pixels(self) -> NDArray[np.uint8]:
        """The array, if it is one of bytes."""
        content = self.content.encode(_LATIN) if isinstance(self.content, str) else self.content
        if self.type.name not in ("u1", "|u1") or self.by_columns or not isinstance(content, bytes):
            raise ValueError(f"an array of {self.type.name!r}, not of bytes row by row")
        return np.frombuffer(content, dtype=np.uint8).reshape(self.shape)


class _Type:
    """Stands for the type of an array's numbers."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name if isinstance(name, str) else _text(name)

    def __setstate__(self, state: Any) -> None:
        del state  # byte order and fields, which bytes have none of


class _Reader(pickle.Unpickler):
    """An unpickler that finds nothing by name but what stands for arrays of bytes."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for; all others are refused."""
        if (module, name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")):
            return lambda *_: _Array()
        known = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Type, ("_codecs", "encode"): _encoded}
        if (module, name) not in known:
            raise ValueError(f"it names {module}.{name}, which is no part of a picture")
        return known[module, name]


def _encoded(text: str, coding: str) -> bytes:
    if coding != _LATIN:
        raise ValueError(f"it is coded as {coding!r}")
    return text.encode(_LATIN)


def _field(path: Path, key: str, kind: type[Any]) -> Any:
    """An entry of the mapping in a file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        found = _Reader(BytesIO(content), encoding=_LATIN).load()
        entry = {_text(name): value for name, value in found.items()}[key]
        if not isinstance(entry, kind):
            raise ValueError(f"{key!r} is no {kind.__name__.strip('_').lower()}")
    except Exception as error:  # a damaged pickle raises nearly anything; all mean the same to the user
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ValueError(f"expected {path} as CIFAR's archive for Python has it: {problem}; unpack it again") from error
    return entry


def _batch(path: Path, key: str, num_classes: int) -> tuple[NDArray[np.uint8], Sequence[int]]:
    """Pictures (N, 32, 32, 3) and labels of a file."""
    labels = _field(path, key, list)
    wrong = [label for label in labels if type(label) is not int or not 0 <= label < num_classes]
    if wrong:
        raise ValueError(f"expected labels from 0 to below {num_classes} in {path}, got {wrong[0]!r}")
    array: _Array = _field(path, "data", _Array)
    try:
        flat = array.pixels().reshape(len(labels), 3, SIDE, SIDE)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"expected {len(labels)} pictures of 32 x 32 in {path}, got another array: {error}") from error
    return flat.transpose(0, 2, 3, 1), labels


def _text(value: Any) -> str:
    return value.decode(_LATIN) if isinstance(value, bytes) else str(value)
