"""Data sets of tar shards in webdataset's layout."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.decoding import WHITE, Colour, decode_image
from hrvlm.data.described import Described
from hrvlm.data.images import check_scale, evaluation_transform, random_crop
from hrvlm.data.names import tree_names
from hrvlm.data.sampling import Address, address_generator
from hrvlm.data.tar_index import TarIndex, check_labels, read_index, shard_paths
from hrvlm.trees.words import composed

OPEN_SHARDS = 16


class ShardReader:
    """Images of indexed shards; keeps a few files open, and may be copied to worker processes."""

    def __init__(self, index: TarIndex, background: Colour = WHITE) -> None:
        """Opens nothing yet; transparent pixels will be blended onto the background."""
        self.index, self.background = index, background
        self._open: OrderedDict[int, int] = OrderedDict()

    def image(self, position: int) -> Image.Image:
        """One image, RGB.

        Raises:
            ValueError: If the shard is gone or the image damaged; the message names shard and key.
        """
        index = self.index
        content = self._read(position, int(index.offsets[position]), int(index.sizes[position]), "image")
        return decode_image(content, index.where(position), self.background)

    def caption(self, position: int) -> str:
        """The caption of one image of captioned shards, without space around it.

        Raises:
            ValueError: If the shard is gone or the caption is no text; the message names shard and key.
        """
        index = self.index
        start, size = int(index.caption_offsets[position]), int(index.caption_sizes[position])
        content = self._read(position, start, size, "caption")
        try:
            return composed(content.decode("utf-8").strip())
        except UnicodeDecodeError as error:
            raise ValueError(
                f"expected a caption in UTF-8 of {index.where(position)}: {error}; mend the shard"
            ) from error

    def _read(self, position: int, offset: int, size: int, what: str) -> bytes:
        try:
            return os.pread(self._descriptor(int(self.index.shards[position])), size, offset)
        except OSError as error:
            raise ValueError(f"expected a readable {what} {self.index.where(position)}: {error}") from error

    def _descriptor(self, shard: int) -> int:
        if shard in self._open:
            self._open.move_to_end(shard)
        else:
            self._open[shard] = os.open(self.index.paths[shard], os.O_RDONLY)
            if len(self._open) > OPEN_SHARDS:
                os.close(self._open.popitem(last=False)[1])
        return self._open[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {"index": self.index, "background": self.background, "_open": OrderedDict()}

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


class ShardDataset(Described, Dataset[tuple[Tensor, int]]):
    """Images (3, size, size) in [0, 1] with labels, by position: shorter side resized, centre cut out.

    Attributes:
        class_ids: Ids of the classes; a label is a position in this list.
        class_names: What the classes are called in words: their names in a tree, or else their ids as words.
        background: What transparent pixels are blended onto, in 8 bits.
    """

    def __init__(
        self,
        shards: str,
        class_ids: Sequence[str],
        *,
        image_size: int,
        names_tree: str | None = None,
        index_folder: str | None = None,
        keep_index: bool = True,
        background: Colour = WHITE,
    ) -> None:
        """Reads or makes the index.

        Args:
            shards: Shard files, with braces: "val-{000000..000006}.tar".
            class_ids: Ids of the classes, in the order of the labels.
            image_size: Side of the pictures given out, in pixels.
            names_tree: Tree file whose leaves are the classes and name them; None makes words of the ids.
            index_folder: Where the index is kept; beside the shards if None.
            keep_index: Whether an index that had to be made is kept.
            background: What transparent pixels are blended onto, in 8 bits.

        Raises:
            ValueError: If webdataset is not installed, or shards are missing, damaged, or hold other labels.
        """
        self.class_ids, self.class_names = list(class_ids), tree_names(names_tree, class_ids)
        self.transform = evaluation_transform(image_size)
        self.index = read_index(shard_paths(shards), index_folder, keep=keep_index)
        self.background, self.source = background, self.index.source
        self.reader = ShardReader(self.index, background)
        check_labels(self.index, len(self.class_ids))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.transform(self.reader.image(position)), int(self.index.labels[position])

    def labels(self) -> list[int]:
        """Labels of all pictures."""
        found: list[int] = self.index.labels.tolist()
        return found


class AugmentedShards(Dataset[dict[str, Any]]):
    """Random crops and mirror images, drawn from the address: samples {"image", "label", "index"}."""

    def __init__(self, data: ShardDataset, *, image_size: int, seed: int, scale: tuple[float, float]) -> None:
        """Chooses the crops; see `random_crop`.

        Raises:
            ValueError: If scale is no range of shares.
        """
        check_scale(scale)
        self.data, self.image_size, self.seed, self.scale = data, image_size, seed, scale

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, address: Address) -> dict[str, Any]:
        image = self.data.reader.image(address.index)
        generator = address_generator(self.seed, address)
        pixels = random_crop(image, generator, image_size=self.image_size, scale=self.scale)
        return {"image": pixels, "label": int(self.data.index.labels[address.index]), "index": address.index}
