"""Items of data sets, in the forms that commands and loops ask for; what commands ask of data modules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset


class EvaluationData:
    """What is evaluated of a data module, whoever trains on it: Lightning need not be there to name one."""

    @property
    @abstractmethod
    def class_ids(self) -> list[str]:
        """Ids of the classes, in the order of the labels; the leaves of the trees."""

    @abstractmethod
    def evaluation_set(self, split: str | None = None) -> Any:
        """A map-style data set of (image in [0, 1], label) asked for by index."""


class IndexedShard(Dataset[dict[str, Any]]):
    """Some items of an (image, label) data set, each with its index: samples {"image", "label", "index"}."""

    def __init__(self, data: Any, indices: Iterable[int]) -> None:
        """Chooses items of `data` by their indices."""
        self.data, self.indices = data, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """A whole batch (the data loader calls this), in one go where the data set can."""
        indices = [self.indices[position] for position in positions]
        whole = getattr(self.data, "__getitems__", None)
        pairs = whole(indices) if whole else [self.data[index] for index in indices]
        return [
            {"image": image, "label": label, "index": index}
            for index, (image, label) in zip(indices, pairs, strict=True)
        ]


def images_and_labels(data: Any, indices: Iterable[int]) -> tuple[Tensor, Tensor]:
    """Stacks some items of an (image, label) data set: (N, 3, H, W) and (N,)."""
    pairs = [data[index] for index in indices]
    return torch.stack([image for image, _ in pairs]), torch.tensor([label for _, label in pairs])
