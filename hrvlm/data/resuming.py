"""A training loader that can go on inside an epoch: its place is a few numbers in the checkpoint.

Orders are functions of (seed, epoch) and looks of addresses, so that nothing else has to be kept: a resumed run skips
what was given out already and sees the very pictures that the uninterrupted run would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader, Sampler

from hrvlm.data.sampling import Address, EpochSampler


class ResumingSampler(Sampler[Address]):
    """Another sampler's order, from some place on.

    Attributes:
        sampler: Gives the order of an epoch.
        skip: Number of addresses that the next pass leaves out; back to 0 when it starts.
    """

    def __init__(self, sampler: EpochSampler) -> None:
        """Starts at the beginning of the epoch."""
        self.sampler, self.skip = sampler, 0

    @property
    def epoch(self) -> int:
        """Number of the epoch."""
        return self.sampler.epoch

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order; Lightning calls this before each epoch, and after a resume with the epoch it was in."""
        self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        """Length of a whole epoch, which is what the trainer counts batches by."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Address]:
        skip, self.skip = self.skip, 0
        return islice(iter(self.sampler), skip, None)


class ResumableLoader(DataLoader[dict[str, Any]]):
    """A data loader that goes on inside an epoch from a place that checkpoints store.

    Full batches only. Everything starts with the first batch that is asked for, not before: by then the epoch of a
    resumed run is known. A place in another epoch than the one that is then chosen plays no part.
    """

    def __init__(self, data: Any, *, sampler: EpochSampler, batch_size: int, **arguments: Any) -> None:
        """Makes a loader of full batches.

        Args:
            data: Map-style data set of samples asked for by address.
            sampler: Order of this process's pictures.
            batch_size: Pictures per batch.
            **arguments: Of `torch.utils.data.DataLoader`.
        """
        self.place = ResumingSampler(sampler)
        self.epoch = self.given = 0
        self._loaded: dict[str, int] = {}
        super().__init__(data, sampler=self.place, batch_size=batch_size, drop_last=True, **arguments)

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        loaded, self._loaded = self._loaded, {}
        if loaded.get("epoch") == self.place.epoch:
            self._check(loaded)
            self.place.skip = loaded["given"]
        self.epoch, self.given = self.place.epoch, self.place.skip
        for batch in super().__iter__():
            self.given += self.batch_size or 0
            yield batch

    def _run(self) -> dict[str, int]:
        """What has to be the same for a place in an epoch to mean the same."""
        return self.place.sampler.settings() | {"batch_size": self.batch_size or 0}

    def _check(self, state: dict[str, int]) -> None:
        changed = {name: (state.get(name), value) for name, value in self._run().items() if state.get(name) != value}
        if changed:
            found = ", ".join(f"{name} {value} instead of {stored}" for name, (stored, value) in changed.items())
            raise ValueError(
                f"expected the settings of the interrupted run to resume inside an epoch, got {found}; "
                "restore them, or resume from a checkpoint made at the end of an epoch"
            )

    def state_dict(self) -> dict[str, int]:
        """Epoch of the last batch, number of this process's pictures given out in it, what the order depends on."""
        return {"epoch": self.epoch, "given": self.given, **self._run()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on where `state_dict` was taken, if the next pass is of that epoch; the same for every process.

        That pass raises a ValueError if data, seed, batch size, number of processes or window of shards are others, so
        that the place means nothing.
        """
        self._loaded = dict(state)
