"""Picture files in a list, with or without labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from hrvlm.data.decoding import WHITE, Colour, read_image
from hrvlm.data.described import Described
from hrvlm.data.images import evaluation_transform


class ListedPictures(Described, Dataset[tuple[Tensor, int]]):
    """Images (3, size, size) in [0, 1] of listed files: shorter side resized, centre cut out.

    Attributes:
        paths: The files.
        background: What transparent pixels are blended onto, in 8 bits.
    """

    def __init__(
        self, paths: Sequence[str | Path], labels: Sequence[int], *, image_size: int, background: Colour = WHITE
    ) -> None:
        """Takes the list.

        Args:
            paths: Picture files.
            labels: Label of each; -1 where it has none.
            image_size: Side of the pictures given out, in pixels.
            background: What transparent pixels are blended onto, in 8 bits.

        Raises:
            ValueError: If image_size is not positive.
        """
        self.transform = evaluation_transform(image_size)
        self.paths, self._labels, self.background = [str(path) for path in paths], list(labels), background

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(read_image(self.paths[index], self.background)), self._labels[index]

    def file(self, index: int) -> str:
        """The file of a picture."""
        return self.paths[index]

    def labels(self) -> list[int]:
        """Labels of all pictures."""
        return list(self._labels)
