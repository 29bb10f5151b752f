"""Orders and shards over any number of processes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrvlm.data.sampling import Address, EpochSampler, address_generator, evenly_spread, shard_indices


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(0, 500))
def test_ranks_share_one_shuffled_order(size: int, replicas: int, seed: int, epoch: int) -> None:
    if size < replicas:
        return
    alone = EpochSampler(size, seed=seed)
    alone.set_epoch(epoch)
    order = list(alone)
    assert sorted(order) == [Address(index, epoch) for index in range(size)]
    dealt = []
    for rank in range(replicas):
        sampler = EpochSampler(size, seed=seed, num_replicas=replicas, rank=rank)
        sampler.set_epoch(epoch)
        mine = list(sampler)
        assert len(mine) == len(sampler) == size // replicas
        dealt.append(mine)
    together = [address for row in zip(*dealt, strict=True) for address in row]
    assert together == order[: len(together)]
    assert size - len(together) < replicas


def test_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(100, seed=seed)
        list(sampler)  # an earlier pass leaves no trace
        sampler.set_epoch(epoch)
        return [address.index for address in sampler]

    np.random.seed(1)  # noqa: NPY002 - the point is that global state plays no part
    first = order(3, 4)
    np.random.seed(2)  # noqa: NPY002
    assert order(3, 4) == first
    orders = [order(3, 4), order(3, 5), order(4, 4), order(4, 3), list(range(100))]
    assert len({tuple(entry) for entry in orders}) == 5


def test_streams_of_addresses_and_orders_are_all_different() -> None:
    first_draws = {
        address_generator(seed, Address(index, epoch)).random()
        for seed in range(3)
        for epoch in range(3)
        for index in range(20)
    }
    assert len(first_draws) == 180
    # The stream that shuffles must not be the stream of a picture.
    sampler = EpochSampler(50, seed=1)
    sampler.set_epoch(2)
    shuffled = [address.index for address in sampler]
    assert all(shuffled != address_generator(1, Address(index, 2)).permutation(50).tolist() for index in range(5))


@given(st.integers(0, 50), st.integers(1, 12))
def test_shards_cover_every_index_exactly_once(size: int, replicas: int) -> None:
    shards = [shard_indices(size, num_replicas=replicas, rank=rank) for rank in range(replicas)]
    assert sorted(index for shard in shards for index in shard) == list(range(size))
    lengths = sorted(len(shard) for shard in shards)
    assert lengths[-1] - lengths[0] <= 1
    assert all(a < b for shard in shards for a, b in pairwise(shard))


@pytest.mark.parametrize("rank", [-1, 2])
def test_ranks_out_of_range_are_refused(rank: int) -> None:
    with pytest.raises(ValueError, match="expected rank"):
        EpochSampler(10, num_replicas=2, rank=rank)
    with pytest.raises(ValueError, match="expected rank"):
        shard_indices(10, num_replicas=2, rank=rank)


def test_fewer_pictures_than_processes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture per process"):
        EpochSampler(3, num_replicas=4)


@given(st.integers(0, 300), st.integers(1, 400))
def test_subsets_are_evenly_spread(size: int, count: int) -> None:
    chosen = evenly_spread(size, count)
    assert len(chosen) == min(size, count)
    assert chosen[:1] == [0][: len(chosen)]
    gaps = [b - a for a, b in pairwise([*chosen, size])]
    assert max(gaps, default=1) - min(gaps, default=1) <= 1
    assert min(gaps, default=1) >= 1
    assert evenly_spread(size) == list(range(size))


def test_empty_subsets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a count >= 1 .*got 0"):
        evenly_spread(5, 0)
