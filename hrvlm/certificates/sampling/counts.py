"""Images that wait for draws, the batches that mix them, and the counts of what was answered.

See `sampling`, which streams the batches through a classifier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlm.certificates.sampling.batches import Sample

Counts = dict[Hashable, NDArray[np.int64]]
"""Per statement `(G, K + 1)`: samples of each group of draws with each label; the last column counts invalid ones."""

Piece: TypeAlias = tuple[int, range]
"""Number of the group to count in, and draw numbers."""

T = TypeVar("T")
Procedure: TypeAlias = Generator[Sequence[Piece], Counts, T]
"""Yields what to draw next, is sent all counts so far, returns the result."""


@dataclass(eq=False)
class Pending(Generic[T]):
    """An image on its way, with its procedure and what was counted so far."""

    sample: Sample
    procedure: Procedure[T]
    counts: Counts
    todo: deque[Piece] = field(default_factory=deque)
    in_flight: int = 0

    def take(self, room: int) -> Piece:
        """The next draws, at most so many."""
        group, draws = self.todo.popleft()
        if len(draws) > room:
            self.todo.appendleft((group, draws[room:]))
        self.in_flight += 1
        return group, draws[:room]


Batch: TypeAlias = list[tuple[Pending[T], Piece]]


def extend(batch: Batch[T], ready: deque[Pending[T]], source: Iterator[Pending[T]], batch_size: int) -> bool:
    """Fill the batch from images that wait, then from new ones; whether it is full or the next has another shape."""
    room = batch_size - sum(len(draws) for _, (_, draws) in batch)
    while room:
        if not ready:
            image = next(source, None)
            if image is None:
                return False
            ready.append(image)
        image = ready[0]
        if batch and batch[0][0].sample.image.shape != image.sample.image.shape:
            return True
        piece = image.take(room)
        batch.append((image, piece))
        room -= len(piece[1])
        if not image.todo:
            ready.popleft()
    return True


def count(batch: Batch[T], labels: Mapping[Any, Tensor], num_classes: Mapping[Hashable, int]) -> list[Pending[T]]:
    """Adds the labels of a batch to the counts of its images.

    Returns:
        The images of which no draw is in a batch or left to be batched.
    """
    size = sum(len(draws) for _, (_, draws) in batch)
    fetched = fetch(labels, list(num_classes), size)
    columns = {key: _checked(fetched[key], key, k) for key, k in num_classes.items()}
    begin, finished = 0, []
    for image, (group, draws) in batch:
        rows = slice(begin, begin + len(draws))
        for key, k in num_classes.items():
            image.counts[key][group] += np.bincount(columns[key][rows], minlength=k + 1)
        begin, image.in_flight = rows.stop, image.in_flight - 1
        if not image.in_flight and not image.todo:
            finished.append(image)
    return finished


def fetch(labels: Mapping[Any, Tensor], keys: Sequence[Hashable], size: int) -> dict[Hashable, NDArray[np.int64]]:
    """Labels `(size,)` of statements, in one copy from the device: each copy waits for it.

    Raises:
        ValueError: if the labels of a statement lack or are no so many integers.
    """
    for key in keys:
        if key not in labels:
            raise ValueError(
                f"expected classify to return labels for statement {key!r}, got {sorted(map(str, labels))}"
            )
        column = labels[key]
        if column.shape != (size,) or column.is_floating_point() or column.is_complex() or column.dtype == torch.bool:
            kind = f"{str(column.dtype).removeprefix('torch.')} {tuple(column.shape)}"
            raise ValueError(f"expected {size} integer labels for statement {key!r}, got {kind}")
    columns = torch.stack([labels[key].to(torch.int64) for key in keys]).cpu().numpy()
    return dict(zip(keys, columns, strict=True))


def _checked(column: NDArray[np.int64], key: Hashable, num_classes: int) -> NDArray[np.int64]:
    """Labels of a statement with -1 turned into `num_classes`."""
    if len(column) and not -1 <= int(column.min()) <= int(column.max()) < num_classes:
        span = f"{column.min()} to {column.max()}"
        raise ValueError(f"expected labels of statement {key!r} in -1 to {num_classes - 1}, got {span}")
    return np.where(column < 0, num_classes, column)
