"""A zero-shot set as a map-style data set; nothing is ever downloaded."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.decoding import read_image, to_rgb
from hrvlm.data.described import Described
from hrvlm.data.images import evaluation_transform
from hrvlm.data.names import check_distinct
from hrvlm.data.zero_shot.registry import SETS, ZeroShotSet


class ZeroShotDataset(Described, Dataset[tuple[Tensor, int]]):
    """Images (3, size, size) in [0, 1] with labels: shorter side resized, centre cut out. Made by `load`.

    Attributes:
        name: Key in the registry.
        class_names: Different texts; a label is a position in this list.
        templates: Prompts, "{}" stands for the class name.
    """

    def __init__(self, name: str, root: Path, *, image_size: int) -> None:
        """Reads the lists of images; see `load`."""
        entry = SETS[name]
        self.name, self.root, self.title = name, root, entry.title
        self.transform = evaluation_transform(image_size)
        _check_package(entry)
        _check_files(entry, root)
        try:
            self.data = entry.make(str(root), **entry.arguments)
            self.data.loader = read_image  # of the sets that read files with one
            self.class_names = entry.class_names(self.data)
            self.order = _stable_order(self.data)
        except Exception as error:  # torchvision lets errors of many readers through; all mean the same to the user
            problem = (
                "they are not the published ones" if "orrupted" in str(error) else f"{type(error).__name__}: {error}"
            )
            raise ValueError(
                f"expected the published files of {entry.title} under {root}: {problem}; unpack its archive again"
            ) from error
        check_distinct(self.class_names, entry.title)
        self.templates = list(entry.templates())

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        position = self.order[index]
        image: Any = None
        try:
            image, label = self.data[position]
            pixels = self.transform(_rgb(image))
        except Exception as error:  # Pillow raises many kinds for damaged files
            where = getattr(image, "filename", "") or _file(self.data, position) or f"item {position}"
            raise ValueError(f"expected a readable image {where} of {self.title}: {error}; replace it") from error
        return pixels, self._checked(label, index)

    def labels(self) -> list[int]:
        """Labels of all pictures; pictures are read only where torchvision's class lists no labels."""
        listed = _listed_labels(self.data)
        if listed is None:
            return [self[index][1] for index in range(len(self))]
        return [self._checked(listed[position], index) for index, position in enumerate(self.order)]

    def _checked(self, label: Any, index: int) -> int:
        if not 0 <= int(label) < len(self.class_names):
            count = len(self.class_names)
            raise ValueError(f"expected labels below {count} in {self.title}, got {label} of item {index}")
        return int(label)


def load(name: str, root: str | Path, *, image_size: int = 224) -> ZeroShotDataset:
    """One of the zero-shot sets: its test split, or all of it where it has none.

    Args:
        name: A key of `SETS`, for example "cifar10".
        root: Folder that holds the sets, each in the folder that torchvision gives it.
        image_size: Side of the pictures, in pixels: the pixels in which budgets are stated.

    Returns:
        A map-style data set of (image (3, image_size, image_size) in [0, 1], label), with `class_names`, `templates`.

    Raises:
        ValueError: If the name is unknown, or files are missing or not the published ones. Nothing is downloaded.
    """
    if name not in SETS:
        raise ValueError(f"expected a zero-shot set of {', '.join(SETS)}, got {name!r}")
    return ZeroShotDataset(name, Path(root), image_size=image_size)


def missing_files(name: str, root: str | Path) -> list[str]:
    """What a set still needs under the root, as paths."""
    return [file for file in SETS[name].files if not (Path(root) / file).exists()]


def _check_package(entry: ZeroShotSet) -> None:
    if entry.package:
        module, extra = entry.package
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f'expected the package {module} to read {entry.title}; install it with: pip install "hrvlm[{extra}]"'
            ) from error


def _check_files(entry: ZeroShotSet, root: Path) -> None:
    """Looks before torchvision does, which would make folders in the root for some sets."""
    missing = [file for file in entry.files if not (root / file).exists()]
    if missing:
        raise ValueError(
            f"expected {entry.title} unpacked as {', '.join(entry.files)} under {root}, missing {', '.join(missing)}; "
            "nothing is downloaded: put the published files there"
        )


def _rgb(image: Image.Image) -> Image.Image:
    """A picture that torchvision made, or only opened, as `read_image` gives it."""
    if not getattr(image, "filename", ""):
        return to_rgb(image)
    with image:  # torchvision leaves the file open
        return read_image(image.filename)  # type: ignore[attr-defined]


def _stable_order(data: Any) -> list[int]:
    """Positions in an order that is the same on every machine: SUN397 lists files as the file system gives them."""
    files = getattr(data, "_image_files", None)
    positions = range(len(data))
    return list(positions) if files is None else sorted(positions, key=lambda position: str(files[position]))


def _listed_labels(data: Any) -> Any:
    """The label of each position, if torchvision's class keeps them in a list."""
    if hasattr(data, "_samples"):
        return [label for _, label in data._samples]
    lists = (getattr(data, name, None) for name in ("targets", "_labels", "labels", "y"))
    return next((found for found in lists if found is not None and len(found) == len(data)), None)


def _file(data: Any, position: int) -> str:
    """The file of an item, or a pattern of it, where torchvision's class tells."""
    for attribute in ("_image_files", "_images", "samples", "_samples"):
        files = getattr(data, attribute, None)
        if files is not None:
            return str(files[position][0] if isinstance(files[position], tuple) else files[position])
    if hasattr(data, "categories"):  # Caltech's classes put the name together when it is read
        return f"{data.categories[data.y[position]]}/*_{data.index[position]:04d}.jpg"
    return ""
