"""Which picture comes when: an order that is a function of (seed, epoch) only, shared by any number of processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class Address(NamedTuple):
    """A picture of an epoch; random augmentation is drawn from (seed, epoch, index), never from a global state.

    Attributes:
        index: Position in the data set.
        epoch: Number of the epoch, from 0.
    """

    index: int  # type: ignore[assignment]  # a better name here than the method of tuple that it hides
    epoch: int


def address_generator(seed: int, address: Address) -> np.random.Generator:
    """The random stream of one address."""
    return np.random.default_rng((seed, address.epoch, address.index))


class EpochSampler(Sampler[Address]):
    """Shuffles anew each epoch and deals the addresses out to the processes.

    Every process gets the same number of addresses, as DDP requires in training: at most `num_replicas` - 1 pictures of
    an epoch are left out. Evaluation uses unpadded shards instead (`shard_indices`).
    """

    def __init__(self, size: int, *, seed: int = 0, num_replicas: int = 1, rank: int = 0) -> None:
        """Fixes what the order depends on.

        Args:
            size: Number of pictures.
            seed: Seed of the order.
            num_replicas: Number of processes.
            rank: Of this process, from 0.

        Raises:
            ValueError: If rank is not in [0, num_replicas) or there are fewer pictures than processes.
        """
        _check_rank(num_replicas, rank)
        if size < num_replicas:
            raise ValueError(f"expected at least one picture per process, got {size} for {num_replicas} processes")
        self.size, self.seed, self.num_replicas, self.rank = size, seed, num_replicas, rank
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order; Lightning calls this before each epoch."""
        self.epoch = epoch

    def settings(self) -> dict[str, int]:
        """What the orders of all processes depend on besides the epoch."""
        return {"size": self.size, "seed": self.seed, "num_replicas": self.num_replicas}

    def __len__(self) -> int:
        return self.size // self.num_replicas

    def __iter__(self) -> Iterator[Address]:
        # NumPy pads a seed with zeros: without the last number this would be the stream of address (0, epoch).
        order = np.random.default_rng((self.seed, self.epoch, 0, 1)).permutation(self.size)
        mine = order[self.rank : len(self) * self.num_replicas : self.num_replicas]
        return iter([Address(int(index), self.epoch) for index in mine])


class ShardSampler(EpochSampler):
    """Shuffles shards, deals out equal runs of them to the processes, and shuffles each run within a window.

    The order is a function of (seed, epoch, number of processes, rank), whatever the number of workers. A process reads
    only its own shards (and at most two that it shares with a neighbour), a window at a time, so that reads stay local.
    As in `EpochSampler` every process gets the same number of pictures and none comes twice: at most
    `num_replicas` - 1 pictures of an epoch are left out, others in each.
    """

    def __init__(
        self, shard_sizes: Sequence[int], *, window: int, seed: int = 0, num_replicas: int = 1, rank: int = 0
    ) -> None:
        """Fixes what the order depends on.

        Args:
            shard_sizes: Number of samples of each shard.
            window: Number of samples that are shuffled together.
            seed: Seed of the order.
            num_replicas: Number of processes.
            rank: Number of this process, from 0.

        Raises:
            ValueError: If the window is not positive; see also `EpochSampler`.
        """
        if window < 1:
            raise ValueError(f"expected shuffle_window >= 1, got {window}")
        super().__init__(int(sum(shard_sizes)), seed=seed, num_replicas=num_replicas, rank=rank)
        self.shard_sizes, self.window = np.array(shard_sizes, dtype=np.int64), window

    def settings(self) -> dict[str, int]:
        """What the orders of all processes depend on besides the epoch."""
        return super().settings() | {"num_shards": len(self.shard_sizes), "shuffle_window": self.window}

    def __iter__(self) -> Iterator[Address]:
        starts = np.cumsum(self.shard_sizes) - self.shard_sizes
        # Streams (…, 0, 2) and (…, rank, 3): no other stream of (seed, epoch, …) has these numbers.
        shards = np.random.default_rng((self.seed, self.epoch, 0, 2)).permutation(len(starts))
        order = np.concatenate([np.arange(starts[shard], starts[shard] + self.shard_sizes[shard]) for shard in shards])
        mine = order[self.rank * len(self) : (self.rank + 1) * len(self)]
        generator = np.random.default_rng((self.seed, self.epoch, self.rank, 3))
        for start in range(0, len(mine), self.window):
            for index in generator.permutation(mine[start : start + self.window]):
                yield Address(int(index), self.epoch)


def shard_indices(size: int, *, num_replicas: int = 1, rank: int = 0) -> range:
    """The data set indices that one process evaluates; over all ranks every index occurs exactly once.

    Raises:
        ValueError: If rank is not in [0, num_replicas).
    """
    _check_rank(num_replicas, rank)
    return range(rank, size, num_replicas)


def evenly_spread(size: int, count: int | None = None) -> list[int]:
    """Indices of a fixed subset of a data set: sorted, distinct, evenly spread from the first item on.

    Args:
        size: Number of items.
        count: How many are chosen, at most `size`; None chooses all.

    Raises:
        ValueError: If count is below 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"expected a count >= 1 of items to choose, or none for all, got {count}")
    chosen = size if count is None else min(count, size)
    return [position * size // chosen for position in range(chosen)]


def _check_rank(num_replicas: int, rank: int) -> None:
    if not 0 <= rank < num_replicas:
        raise ValueError(f"expected rank in [0, {num_replicas}), the number of processes, got {rank}")
