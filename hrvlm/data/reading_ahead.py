"""Pictures that other processes read ahead, for work that asks for one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset


class ReadAhead:
    """A map-style data set, some items of which are read ahead in the order in which they will be asked for.

    Items may be left out, and others asked for, which are then read here. A picture that cannot be read fails where it
    is asked for, as without this class.
    """

    def __init__(self, data: Any, order: Sequence[int], num_workers: int) -> None:
        """Starts nothing yet: processes begin with the first item that is asked for.

        Args:
            data: Map-style data set.
            order: Indices in the order in which they will be asked for.
            num_workers: Processes that read; 0 reads every item when it is asked for.

        Raises:
            ValueError: If there are fewer than none.
        """
        self.data, self._following = data, set(order if check_workers(num_workers) else ())
        self._read = self._started(list(order), num_workers) if num_workers else iter(())

    def _started(self, order: list[int], num_workers: int) -> Iterator[tuple[int, Any]]:
        """Indices and items."""
        generator = torch.Generator()  # its own: else the loader draws from training's
        items = DataLoader(_Caught(self.data, order), batch_size=None, num_workers=num_workers, generator=generator)
        yield from zip(order, items, strict=True)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        while index in self._following:
            read, item = next(self._read)
            self._following.discard(read)
            if read == index:
                return _returned(item)
        return self.data[index]


class _Caught(Dataset[Any]):
    """Items, or what went wrong with them: a loader would put the worker's trace into the message."""

    def __init__(self, data: Any, order: list[int]) -> None:
        self.data, self.order = data, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> Any:
        try:
            return self.data[self.order[position]]
        except Exception as error:  # of any kind: raised again where the item is asked for
            return _sendable(error)


def _sendable(error: Exception) -> Exception:
    """What another process can be sent: exceptions of libraries may be built in ways that it could not repeat."""
    return error if type(error).__module__ == "builtins" else RuntimeError(f"{type(error).__name__}: {error}")


def _returned(item: Any) -> Any:
    if isinstance(item, Exception):
        raise item
    return item


def check_workers(num_workers: int) -> int:
    """A number of processes that read.

    Raises:
        ValueError: If it is negative.
    """
    if num_workers < 0:
        raise ValueError(f"expected num_workers >= 0, got {num_workers}: 0 reads pictures when they are needed")
    return num_workers
