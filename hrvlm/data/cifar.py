"""CIFAR-10 and CIFAR-100 as a map-style data set."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.cifar_files import SIDE, CifarSplit, read_cifar
from hrvlm.data.described import Described
from hrvlm.data.images import evaluation_transform
from hrvlm.data.names import check_distinct
from hrvlm.data.zero_shot.class_names import plain
from hrvlm.data.zero_shot.templates import CIFAR


class CifarDataset(Described, Dataset[tuple[Tensor, int]]):
    """Images (3, size, size) in [0, 1] with labels.

    Attributes:
        class_ids: Names of the classes in the files; a label is a position in this list.
        class_names: The same as words.
        templates: Prompts of Radford et al. 2021 (arXiv 2103.00020) for CIFAR.
        pixels: All pictures, (N, 32, 32, 3) in 8 bits.
    """

    def __init__(self, folder: str | Path, split: CifarSplit = "test", *, image_size: int = SIDE) -> None:
        """Reads all pictures of a split.

        Args:
            folder: "cifar-10-batches-py" or "cifar-100-python", or the folder that holds one of them.
            split: "train" or "test".
            image_size: Side of the pictures given out, in pixels.

        Raises:
            ValueError: If files are missing, hold anything but texts, numbers and arrays of bytes, or do not fit each
                other.
        """
        found = read_cifar(folder, split)
        self.transform = evaluation_transform(image_size)
        self.class_ids = found.class_ids
        self.class_names = [plain(name) for name in self.class_ids]
        check_distinct(self.class_names, str(found.place))
        self.templates = list(CIFAR)
        self.pixels, self._labels = found.pixels, found.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.picture(index)), self._labels[index]

    def picture(self, index: int) -> Image.Image:
        """One picture, RGB of 32 x 32."""
        return Image.fromarray(self.pixels[index])

    def labels(self) -> list[int]:
        """Labels of all pictures."""
        return list(self._labels)
