"""What a process certifies, whatever kind of model it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

from hrvlm.certificates.sampling.feature_store import FeatureStore
from hrvlm.rows.record import Key, Record


class Work(Protocol):
    """What a process certifies: a model on a data set."""

    depends_on: dict[str, Any]
    """What rows depend on, as JSON values."""
    data: Any
    """Map-style data set."""

    def open_store(self, folders: ExitStack) -> FeatureStore | None:
        """Where features are kept, if they are, held until all folders are left; called by one process."""

    def count(self, num_images: int) -> int:
        """How often progress is reported for so many images."""

    def records(
        self, indices: list[int], done: set[Key], progress: Callable[[int], None], store: FeatureStore | None
    ) -> Iterator[Sequence[Record]]:
        """Records of some images that are not done."""

    def remarks(self) -> list[str]:
        """What a reader of this process's rows must know, in sentences."""
