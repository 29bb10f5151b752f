"""Data sets of image folders, one sub-folder per class (torchvision's ImageFolder layout, as ImageNet's)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.decoding import WHITE, Colour, read_image
from hrvlm.data.described import Described
from hrvlm.data.images import check_scale, evaluation_transform, random_crop
from hrvlm.data.listing import PictureFolder
from hrvlm.data.names import tree_names
from hrvlm.data.sampling import Address, address_generator


class FolderDataset(Described, Dataset[tuple[Tensor, int]]):
    """Images (3, size, size) in [0, 1] with labels: shorter side resized, centre cut out.

    Attributes:
        class_ids: Names of the sub-folders; a label is a position in this list.
        class_names: What the classes are called in words: their names in a tree, or else their ids as words.
        background: What transparent pixels are blended onto, in 8 bits.
    """

    def __init__(
        self, folder: str | Path, *, image_size: int, names_tree: str | None = None, background: Colour = WHITE
    ) -> None:
        """Lists the images of a folder.

        Args:
            folder: One sub-folder per class; labels follow the sorted names.
            image_size: Side of the pictures given out, in pixels.
            names_tree: Tree file whose leaves are the classes and name them; None makes words of the ids.
            background: What transparent pixels are blended onto, in 8 bits.

        Raises:
            ValueError: If image_size is not positive, the folder is missing, or a class has no images or no leaf.
        """
        self.transform = evaluation_transform(image_size)
        self.background = background
        listing = PictureFolder(folder)
        self.items, self.class_ids = listing.samples, listing.classes
        self.class_names: list[str] = tree_names(names_tree, self.class_ids)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.items[index]
        return self.transform(read_image(path, self.background)), label

    def labels(self) -> list[int]:
        """Labels of all pictures."""
        return [label for _, label in self.items]

    def file(self, index: int) -> str:
        """The file of a picture."""
        return self.items[index][0]


class AugmentedFolder(Dataset[dict[str, Any]]):
    """Random crops and mirror images, drawn from the address: samples {"image", "label", "index"}."""

    def __init__(
        self,
        folder: str | Path,
        *,
        image_size: int,
        seed: int,
        scale: tuple[float, float],
        background: Colour = WHITE,
    ) -> None:
        """Lists the images of a folder; see `FolderDataset`.

        Args:
            folder: One sub-folder per class.
            image_size: Side of the pictures given out, in pixels.
            seed: Seed of the crops.
            scale: Least and largest share of the area that a crop keeps, in (0, 1]; crops are square, so they are no
                larger than the largest square in the picture.
            background: What transparent pixels are blended onto, in 8 bits.

        Raises:
            ValueError: If scale is no such range; see also `FolderDataset`.
        """
        check_scale(scale)
        self.data = FolderDataset(folder, image_size=image_size, background=background)
        self.image_size, self.seed, self.scale = image_size, seed, scale

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, address: Address) -> dict[str, Any]:
        path, label = self.data.items[address.index]
        generator = address_generator(self.seed, address)
        whole = read_image(path, self.data.background)
        image = random_crop(whole, generator, image_size=self.image_size, scale=self.scale)
        return {"image": image, "label": label, "index": address.index}
