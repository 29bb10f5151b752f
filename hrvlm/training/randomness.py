"""Seeds of training by address: functions of seed, epoch and picture or batch, never of what was drawn before.

So a resumed run draws what the uninterrupted one would have drawn, also within a window of gradient accumulation, and
an image starts from the same perturbation whatever process it falls to.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

# Last numbers of the addresses: those of data (see `hrvlm.data.sampling`) end on 0 to 3.
_STARTS, _STEPS, _NOISE, _BATCHES, _CHANGES = 4, 5, 6, 7, 8


def _picture_seeds(purpose: int, seed: int, epoch: int, indices: Iterable[int]) -> list[int]:
    """Seeds for one purpose, one per picture, in [0, 2**63); apart from those for any other.

    Args:
        purpose: Last number of their addresses.
        seed: Seed of the run.
        epoch: Number of the epoch.
        indices: Of the pictures in the training set.
    """
    return [_number(seed, epoch, index, purpose) for index in indices]


start_seeds = partial(_picture_seeds, _STARTS)
"""Seeds of the random starts of perturbations, by seed of the run, epoch and indices of pictures."""
noise_seeds = partial(_picture_seeds, _NOISE)
"""Seeds of the noise on pictures, by the same."""
change_seeds = partial(_picture_seeds, _CHANGES)
"""Seeds of which step of which change pictures are shown in, by the same."""


def step_seed(seed: int, epoch: int, batch: int, rank: int) -> int:
    """Seed of everything else that a step may draw, such as dropout, in [0, 2**63).

    Args:
        seed: Seed of the run.
        epoch: Number of the epoch.
        batch: Number of the batch in its epoch; batches of one accumulation window have numbers of their own.
        rank: Number of this process, from 0.
    """
    return _number(seed, epoch, batch, rank, _STEPS)


def batch_seed(seed: int, epoch: int, batch: int) -> int:
    """Seed of what the batches of all processes draw alike, such as which trees a perturbation begins with.

    Args:
        seed: Seed of the run.
        epoch: Number of the epoch.
        batch: Number of the batch in its epoch.
    """
    return _number(seed, epoch, batch, _BATCHES)


def _number(*address: int) -> int:
    return int(np.random.SeedSequence(address).generate_state(1, np.uint64)[0] >> np.uint64(1))
