"""What several processes of one run do together, and how long each of them waits for others there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hrvlm.evaluation.folder_names import PROCESSES
from hrvlm.evaluation.pace import in_words, tell
from hrvlm.training.launching import Team
from hrvlm.whole_files import write_whole


class Ranks:
    """The processes of a run as one of them sees them, from when it begins its share.

    Attributes:
        size: How many there are.
        rank: Number of this one, from 0.
        is_first: Whether it is the one that merges and tells.
        waited: Seconds that it has waited for others.
    """

    def __init__(self, team: Team) -> None:
        self._team, self._began = team, time.perf_counter()
        self.size, self.rank, self.is_first = team.world_size, team.global_rank, team.is_global_zero
        self.waited = 0.0

    def first(self, action: Callable[[], Any]) -> Any:
        """The result of an action of the first process, on all of them; an error of it ends the others quietly.

        Raises:
            ValueError, OSError: On the first process, as the action raised it.
            SystemExit: On the others, if it did; with the code 0, since nothing is wrong with them.
        """
        result, error = None, None
        if self.is_first:
            try:
                result = action()
            except (ValueError, OSError) as caught:
                error = caught
        with self._waiting():
            failed, result = self._team.broadcast((error is not None, result))
        if error is not None:
            raise error
        if failed:
            raise SystemExit(0)
        return result

    def meet(self) -> None:
        """Waits until all processes are here."""
        with self._waiting():
            self._team.barrier()

    def finish(self, folder: Path) -> None:
        """Waits until all processes have done their share; then each says how long it worked, and a file says of all.

        Args:
            folder: Where the first process writes, if there are several.
        """
        self.meet()
        if self.size == 1:
            return
        worked = time.perf_counter() - self._began - self.waited
        tell(
            f"process {self.rank + 1} of {self.size}: worked {in_words(worked)}, "
            f"waited {in_words(self.waited)} for others"
        )
        mine = {"worked_seconds": round(worked, 3), "waited_seconds": round(self.waited, 3)}
        shares: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(shares, mine)
        if self.is_first:
            write_whole(folder / PROCESSES, json.dumps({"processes": shares}, indent=2) + "\n")

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began
