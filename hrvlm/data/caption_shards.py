"""Pictures with captions instead of classes, from tar shards: training data of contrastive objectives.

Members are KEY.jpg (or another picture) and KEY.txt, as img2dataset writes LAION and others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from hrvlm.data.base import ImageDataModule
from hrvlm.data.decoding import WHITE, Colour, colour
from hrvlm.data.images import check_scale, random_crop
from hrvlm.data.sampling import Address, ShardSampler, address_generator
from hrvlm.data.shards import ShardReader
from hrvlm.data.tar_index import TarIndex, read_index, shard_paths


class CaptionedShards(Dataset[dict[str, Any]]):
    """Random crops and mirror images with captions, drawn from the address: samples {"image", "caption", "index"}."""

    def __init__(
        self, index: TarIndex, *, image_size: int, seed: int, scale: tuple[float, float], background: Colour = WHITE
    ) -> None:
        """Chooses the crops; see `random_crop`.

        Args:
            index: Of captioned shards.
            image_size: Side of the pictures given out, in pixels.
            seed: Seed of the crops.
            scale: Least and largest share of the area that a crop keeps, in (0, 1].
            background: What transparent pixels are blended onto, in 8 bits.

        Raises:
            ValueError: If scale is no range of shares.
        """
        check_scale(scale)
        self.reader, self.image_size, self.seed, self.scale = ShardReader(index, background), image_size, seed, scale

    def __len__(self) -> int:
        return len(self.reader.index)

    def __getitem__(self, address: Address) -> dict[str, Any]:
        image = self.reader.image(address.index)
        generator = address_generator(self.seed, address)
        pixels = random_crop(image, generator, image_size=self.image_size, scale=self.scale)
        return {"image": pixels, "caption": self.reader.caption(address.index), "index": address.index}


class CaptionShardDataModule(ImageDataModule):
    """Trains on captioned tar shards; classes, trees and evaluation are those of another data module."""

    def __init__(
        self,
        *,
        captions: str,
        evaluated: ImageDataModule,
        image_size: int = 224,
        scale: Sequence[float] = (0.9, 1.0),
        shuffle_window: int = 20_000,
        index_folder: str | None = None,
        background: Sequence[float] = (1.0, 1.0, 1.0),
        batch_size: int = 128,
        num_workers: int = 8,
        seed: int = 0,
    ) -> None:
        """Chooses shards and batches.

        Args:
            captions: Shard files with braces, such as "laion/{00000..00099}.tar"; "::" joins several.
            evaluated: Data module whose classes the trees have and whose splits are evaluated; it trains nothing.
            image_size: Side of the training pictures, in pixels: the pixels in which budgets are stated.
            scale: Least and largest share of the area that a training crop keeps, so that captions stay true of it.
            shuffle_window: Training pictures of one process that are shuffled together; see `ShardSampler`.
            index_folder: Where the index of the shards is kept; null keeps it beside them.
            background: Colour that transparent pixels are blended onto: red, green and blue in [0, 1].
            batch_size: Pictures per process and step.
            num_workers: Processes that load pictures ahead; 0 loads them in this one.
            seed: Seed of order and crops.
        """
        super().__init__(batch_size=batch_size, num_workers=num_workers, seed=seed)
        self.captions, self.evaluated, self.index_folder = captions, evaluated, index_folder
        self.image_size, self.scale = image_size, (float(scale[0]), float(scale[1]))
        self.shuffle_window, self.background = shuffle_window, colour(background)

    @property
    def class_ids(self) -> list[str]:
        """Those of the data that is evaluated; the leaves of the trees."""
        return self.evaluated.class_ids

    def prepare_data(self) -> None:
        """Makes the indices, in one process of each machine; the others find them."""
        self._index()
        self.evaluated.prepare_data()

    def _index(self) -> TarIndex:
        return read_index(shard_paths(self.captions), self.index_folder, captions=True)

    def build_training(self) -> CaptionedShards:
        """Random crops of the captioned shards."""
        chosen: dict[str, Any] = {"image_size": self.image_size, "scale": self.scale, "background": self.background}
        return CaptionedShards(self._index(), seed=self.seed, **chosen)

    def training_sampler(self) -> ShardSampler:
        """Order of this process's training pictures."""
        index = self.training_set.reader.index
        sizes = np.bincount(index.shards, minlength=len(index.paths)).tolist()
        return ShardSampler(sizes, window=self.shuffle_window, seed=self.seed, **self._replicas())

    def evaluation_set(self, split: str | None = None) -> Any:
        """Pictures of a split of the data that is evaluated; its validation split if None."""
        return self.evaluated.evaluation_set(split)
