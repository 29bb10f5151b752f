"""Kinds that tell of many records at once which are sound in themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

R = TypeVar("R")


class TellsSound(ABC, Generic[R]):
    """A kind of which most records need not be checked one by one, see `Kind.check`."""

    @abstractmethod
    def sound(self, records: Sequence[R]) -> Iterable[R]:
        """Those of some records in which `Kind.check` finds nothing, as far as that shows of all at once."""
