"""Tar shards in webdataset's layout: training in a shuffled order that stays near each shard, exact evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hrvlm.data.base import ImageDataModule
from hrvlm.data.decoding import colour
from hrvlm.data.sampling import ShardSampler
from hrvlm.data.shard_files import ShardFiles
from hrvlm.data.shard_sets import AugmentedShards, ShardDataset, ShardReader
from hrvlm.data.tar_index import read_index, shard_paths
from hrvlm.old_keys import old_keys

__all__ = ["AugmentedShards", "ShardDataModule", "ShardDataset", "ShardReader"]


@old_keys(
    train_shards="shards.train",
    evaluation_shards="shards.evaluation",
    classes_file="shards.classes_file",
    names_tree="shards.names_tree",
)
class ShardDataModule(ImageDataModule):
    """Trains and evaluates on tar shards, for example of ImageNet.

    Attributes:
        keep_index: Whether data sets keep an index that they had to make; true until it is set otherwise.
    """

    keep_index = True

    def __init__(
        self,
        *,
        shards: ShardFiles,
        validation_split: str = "validation",
        image_size: int = 224,
        scale: Sequence[float] = (0.3, 1.0),
        shuffle_window: int = 20_000,
        index_folder: str | None = None,
        background: Sequence[float] = (1.0, 1.0, 1.0),
        batch_size: int = 128,
        num_workers: int = 8,
        seed: int = 0,
    ) -> None:
        """Chooses shards and batches.

        Args:
            shards: Where pictures and names of their classes lie.
            validation_split: Split that `fit` validates on.
            image_size: Side of the pictures, in pixels: the pixels in which budgets and radii are stated.
            scale: Least and largest share of the area that a training crop keeps; see `random_crop`.
            shuffle_window: Training pictures of one process that are shuffled together; see `ShardSampler`.
            index_folder: Where the index of the shards is kept; null keeps it beside them.
            background: Colour that transparent pixels are blended onto: red, green and blue in [0, 1].
            batch_size: Pictures per process and step.
            num_workers: Processes that load pictures ahead; 0 loads them in this one.
            seed: Seed of order and crops.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        if validation_split not in shards.evaluation:
            raise ValueError(f"expected validation_split of {sorted(shards.evaluation)}, got {validation_split!r}")
        self.shards, self.validation_split, self.shuffle_window = shards, validation_split, shuffle_window
        self.image_size, self.scale = image_size, (float(scale[0]), float(scale[1]))
        self.sets: dict[str, Any] = {"image_size": image_size, "background": colour(background)}
        self.sets |= {"names_tree": shards.names_tree, "index_folder": index_folder}
        self._class_ids: list[str] = []

    @property
    def class_ids(self) -> list[str]:
        """Lines of the classes file; the leaves of the trees."""
        if not self._class_ids:
            self._class_ids = self.shards.class_ids()
        return self._class_ids

    def prepare_data(self) -> None:
        """Makes the indices, in one process of each machine; the others find them."""
        for shards in (self.shards.train, *self.shards.evaluation.values()):
            read_index(shard_paths(shards), self.sets["index_folder"])

    def build_training(self) -> AugmentedShards:
        """Random crops of the training shards."""
        data = ShardDataset(self.shards.train, self.class_ids, keep_index=self.keep_index, **self.sets)
        return AugmentedShards(data, image_size=self.image_size, seed=self.seed, scale=self.scale)

    def training_sampler(self) -> ShardSampler:
        """Order of this process's training pictures."""
        index = self.training_set.data.index
        sizes = np.bincount(index.shards, minlength=len(index.paths)).tolist()
        return ShardSampler(sizes, window=self.shuffle_window, seed=self.seed, **self._replicas())

    def evaluation_set(self, split: str | None = None) -> ShardDataset:
        """Pictures of one split; the validation split if None.

        Raises:
            ValueError: For an unknown split; see also `ShardDataset`.
        """
        split = split or self.validation_split
        if split not in self.shards.evaluation:
            raise ValueError(f"expected split of {sorted(self.shards.evaluation)}, got {split!r}")
        return ShardDataset(self.shards.evaluation[split], self.class_ids, keep_index=self.keep_index, **self.sets)
