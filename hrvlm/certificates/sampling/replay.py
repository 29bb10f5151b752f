"""A procedure on labels that are known already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from hrvlm.certificates.sampling.counts import Counts, Procedure, fetch
from hrvlm.certificates.sampling.procedures import NUM_GROUPS

T = TypeVar("T")


def replay(
    procedure: Procedure[T],
    labels: Callable[[range], Iterable[Mapping[Any, Tensor]]],
    num_classes: Mapping[Any, int],
    num_groups: int = NUM_GROUPS,
) -> T:
    """Run the procedure of one image on labels that are known already; see `sampling.sample_adaptively`.

    Args:
        procedure: what is drawn, and made of the counts.
        labels: of draws, in order: labels `(B,)` per statement key, -1 for invalid, part by part.
        num_classes: number of classes K per statement key.
        num_groups: groups that draws are counted in.
    """
    counts: Counts = {key: np.zeros((num_groups, k + 1), dtype=np.int64) for key, k in num_classes.items()}
    pieces = next(procedure)
    while True:
        for group, draws in pieces:
            for part in labels(draws):
                size = len(part[next(iter(num_classes))])
                for key, column in fetch(part, list(num_classes), size).items():
                    k = num_classes[key]
                    counts[key][group] += np.bincount(np.where(column < 0, k, column), minlength=k + 1)
        try:
            pieces = procedure.send(counts)
        except StopIteration as finished:
            result: T = finished.value
            return result
