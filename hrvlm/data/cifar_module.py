"""Training on CIFAR-10 and CIFAR-100 from the files "for Python", as torchvision lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.base import ImageDataModule
from hrvlm.data.cifar import CifarDataset
from hrvlm.data.cifar_files import SIDE, SPLITS
from hrvlm.data.images import check_scale, random_crop
from hrvlm.data.sampling import Address, address_generator


class AugmentedCifar(Dataset[dict[str, Any]]):
    """Random crops and mirror images, drawn from the address: samples {"image", "label", "index"}."""

    def __init__(self, data: CifarDataset, *, image_size: int, seed: int, scale: tuple[float, float]) -> None:
        """Chooses crops.

        Args:
            data: Pictures and labels.
            image_size: Side of the pictures given out, in pixels.
            seed: Seed of the crops.
            scale: Least and largest share of the area that a crop keeps, in (0, 1].

        Raises:
            ValueError: If scale is no such range.
        """
        check_scale(scale)
        self.data, self._labels = data, data.labels()
        self.image_size, self.seed, self.scale = image_size, seed, scale

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, address: Address) -> dict[str, Any]:
        generator = address_generator(self.seed, address)
        whole = self.data.picture(address.index)
        image: Tensor = random_crop(whole, generator, image_size=self.image_size, scale=self.scale)
        return {"image": image, "label": self._labels[address.index], "index": address.index}


class CifarDataModule(ImageDataModule):
    """Trains on CIFAR's training pictures and evaluates on its test pictures; the classes are those of the files."""

    def __init__(
        self,
        *,
        folder: str,
        image_size: int = SIDE,
        scale: Sequence[float] = (0.5, 1.0),
        batch_size: int = 128,
        num_workers: int = 4,
        seed: int = 0,
    ) -> None:
        """Chooses files and batches.

        Args:
            folder: "cifar-10-batches-py" or "cifar-100-python", or the folder that holds one of them.
            image_size: Side of the pictures, in pixels: the pixels in which budgets and radii are stated.
            scale: Least and largest share of the area that a training crop keeps.
            batch_size: Pictures per process and step.
            num_workers: Processes that load pictures ahead; 0 loads them in this one.
            seed: Seed of order and crops.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.folder, self.image_size = folder, image_size
        self.scale = (float(scale[0]), float(scale[1]))
        check_scale(self.scale)

    @cached_property
    def _test(self) -> CifarDataset:
        return CifarDataset(self.folder, "test", image_size=self.image_size)

    @property
    def class_ids(self) -> list[str]:
        """Names of the classes in the files, such as "aquarium_fish"; the leaves of the trees."""
        return self._test.class_ids

    def build_training(self) -> AugmentedCifar:
        """Random crops of the training pictures."""
        data = CifarDataset(Path(self.folder), "train", image_size=self.image_size)
        return AugmentedCifar(data, image_size=self.image_size, seed=self.seed, scale=self.scale)

    def evaluation_set(self, split: str | None = None) -> CifarDataset:
        """Test pictures; training pictures as they are for "train".

        Raises:
            ValueError: For an unknown split.
        """
        if split in (None, "test"):
            return self._test
        if split != "train":
            raise ValueError(f"expected split of {', '.join(SPLITS)}, got {split!r}")
        return CifarDataset(self.folder, "train", image_size=self.image_size)
