"""A data module of image folders, one sub-folder per class (torchvision's ImageFolder layout, as ImageNet's)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrvlm.data.base import ImageDataModule
from hrvlm.data.decoding import colour
from hrvlm.data.folder_sets import AugmentedFolder, FolderDataset
from hrvlm.trees.class_lists import class_folders

__all__ = ["AugmentedFolder", "FolderDataModule", "FolderDataset"]


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
