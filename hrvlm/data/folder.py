"""Folders of images, one sub-folder per class (torchvision's ImageFolder layout, as ImageNet's)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.base import ImageDataModule
from hrvlm.data.decoding import WHITE, Colour, colour, read_image
from hrvlm.data.described import Described
from hrvlm.data.images import check_scale, evaluation_transform, random_crop
from hrvlm.data.listing import PictureFolder
from hrvlm.data.names import tree_names
from hrvlm.data.sampling import Address, address_generator
from hrvlm.trees.class_lists import class_folders


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


class FolderDataModule(ImageDataModule):
    """Trains and evaluates on image folders, for example ImageNet's `train` and `val`."""

    def __init__(
        self,
        *,
        train_folder: str,
        evaluation_folders: dict[str, str],
        validation_split: str = "validation",
        image_size: int = 224,
        scale: Sequence[float] = (0.3, 1.0),
        names_tree: str | None = None,
        background: Sequence[float] = (1.0, 1.0, 1.0),
        batch_size: int = 128,
        num_workers: int = 8,
        seed: int = 0,
    ) -> None:
        """Chooses folders and batches.

        Args:
            train_folder: One sub-folder per class; their names are the class ids.
            evaluation_folders: Name of each split and its folder; all have the training folder's classes.
            validation_split: Split that `fit` validates on.
            image_size: Side of the pictures, in pixels: the pixels in which budgets and radii are stated.
            scale: Least and largest share of the area that a training crop keeps; see `AugmentedFolder`.
            names_tree: Tree file whose leaves are the classes: gives evaluation sets `class_names` in words; null
                makes words of their ids. Training takes its words from the model's trees.
            background: Colour that transparent pixels are blended onto: red, green and blue in [0, 1].
            batch_size: Pictures per process and step.
            num_workers: Processes that load pictures ahead; 0 loads them in this one.
            seed: Seed of order and crops.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        if validation_split not in evaluation_folders:
            raise ValueError(f"expected validation_split of {sorted(evaluation_folders)}, got {validation_split!r}")
        self.train_folder, self.evaluation_folders = train_folder, dict(evaluation_folders)
        self.validation_split, self.image_size = validation_split, image_size
        self.scale = (float(scale[0]), float(scale[1]))
        self.names_tree, self.background = names_tree, colour(background)

    @property
    def class_ids(self) -> list[str]:
        """Names of the training folder's sub-folders; the leaves of the trees."""
        found = Path(self.train_folder).is_dir() and class_folders(self.train_folder)
        if not found:
            raise ValueError(f"expected one sub-folder per class in train_folder {self.train_folder}, found none")
        return list(found)

    def build_training(self) -> AugmentedFolder:
        """Random crops of the training folder."""
        chosen: dict[str, Any] = {"image_size": self.image_size, "scale": self.scale, "background": self.background}
        return AugmentedFolder(self.train_folder, seed=self.seed, **chosen)

    def evaluation_set(self, split: str | None = None) -> FolderDataset:
        """Pictures of one evaluation folder; the validation split if None.

        Raises:
            ValueError: For an unknown split, or if its classes are not those of the training folder.
        """
        split = split or self.validation_split
        if split not in self.evaluation_folders:
            raise ValueError(f"expected split of {sorted(self.evaluation_folders)}, got {split!r}")
        folder = self.evaluation_folders[split]
        words: dict[str, Any] = {"names_tree": self.names_tree, "background": self.background}
        data = FolderDataset(folder, image_size=self.image_size, **words)
        if data.class_ids != self.class_ids:
            different = sorted(set(data.class_ids) ^ set(self.class_ids))
            raise ValueError(
                f"expected the same classes in {folder} as in {self.train_folder}; "
                f"only one of them has {', '.join(different[:5])}{' …' if len(different) > 5 else ''}"
            )
        return data
