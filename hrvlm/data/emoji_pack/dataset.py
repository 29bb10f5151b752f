"""The packaged emoji as a map-style data set."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.appearance import Appearance, render
from hrvlm.data.described import Described
from hrvlm.data.emoji_pack.splits import split_items
from hrvlm.data.emoji_pack.tiles import artist_tiles


class EmojiDataset(Described, Dataset[tuple[Tensor, int]]):
    """Pictures of one split with their labels.

    Attributes:
        class_names: Unicode names; a label is a position in this list.
        items: (label, artist) of every picture.
    """

    def __init__(self, split: str, *, appearance: Appearance | None = None) -> None:
        """Collects the pictures of a split.

        Args:
            split: "train", "validation", "unseen_artist" or "unseen_classes".
            appearance: How every picture is shown; as drawn, on white, if None.

        Raises:
            ValueError: For an unknown split.
        """
        self.classes, self.items = split_items(split)
        self.split = split
        self.class_names = [entry.name for entry in self.classes]
        self.appearance = appearance or Appearance()

    def __len__(self) -> int:
        return len(self.items)

    def labels(self) -> list[int]:
        """Labels of all pictures."""
        return [label for label, _ in self.items]

    def source(self, index: int) -> str:
        """Artist and class of a picture, which stand for a file."""
        label, artist = self.items[index]
        return f"{artist}/{self.class_names[label]}"

    def tiles(self, indices: Sequence[int]) -> Tensor:
        """uint8 RGBA pictures, (N, 4, 64, 64)."""
        pairs = [self.items[index] for index in indices]
        return torch.stack([artist_tiles(artist)[self.classes[label].tile] for label, artist in pairs])

    def shown(self, index: int, appearances: Sequence[Appearance]) -> Tensor:
        """One picture shown in several ways, (len(appearances), 3, 64, 64) in [0, 1]."""
        return render(self.tiles([index]).expand(len(appearances), -1, -1, -1), appearances)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """A whole batch, rendered at once (the data loader calls this)."""
        images = render(self.tiles(indices), [self.appearance] * len(indices))
        return [(image, self.items[index][0]) for image, index in zip(images, indices, strict=True)]


def emoji(split: str = "train", *, appearance: Appearance | None = None) -> EmojiDataset:
    """The packaged emoji data: 64 x 64 pictures drawn by six artists.

    Args:
        split: "train", "validation", "unseen_artist" or "unseen_classes" (see `splits.split_items`).
        appearance: How every picture is shown; as drawn, on white, if None.

    Returns:
        A map-style data set of (image (3, 64, 64) in [0, 1], label), with `class_names`.

    Raises:
        ValueError: For an unknown split.
    """
    return EmojiDataset(split, appearance=appearance)
