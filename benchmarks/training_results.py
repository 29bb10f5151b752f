"""The result file of benchmarks/training.py, which several processes may read and add to."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from training_methods import BATCH_SIZE, EPOCHS, EPS, LEARNING_RATES
from training_table import autoattack_images, chosen_rates, write_table

ROWS = Path("runs/benchmark-training")
KINDS = ("tuning", "runs", "rows")


class Results:
    """The result file: read and written under a lock, so that several processes may add to it."""

    def __init__(self, path: Path, images: int) -> None:
        """Opens the file, which need not be there.

        Args:
            path: The file.
            images: Pictures per split that AutoAttack is to see; 0 where none is to be run.

        Raises:
            ValueError: If the AutoAttack rows on file come from another number of pictures.
        """
        self.path, self.images = path, images
        path.parent.mkdir(exist_ok=True)
        kept = self.read()["setting"]["autoattack_images"]
        if images not in (0, kept):
            raise ValueError(
                f"expected --autoattack-images {kept}, as in the AutoAttack rows of {path}, got {images}: "
                f"rows of different numbers do not compare; take {kept} or 0, or move the file away to start anew"
            )

    def read(self) -> dict[str, Any]:
        """All there is."""
        content: dict[str, Any] = {"setting": {}, **{kind: [] for kind in KINDS}}
        if self.path.exists():
            content |= json.loads(self.path.read_text(encoding="utf-8"))
        attacked = any(row["attack"] == "autoattack" for row in content["rows"])
        images = autoattack_images(content) if attacked or not self.images else self.images
        setting = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "eps": EPS, "learning_rates": LEARNING_RATES}
        machine = {"processor": platform.machine(), "torch": torch.__version__, "cuda": torch.cuda.is_available()}
        setting["autoattack_images"] = images
        return {"machine": machine, "setting": setting} | {kind: content[kind] for kind in KINDS}

    def has(self, kind: str, **values: Any) -> bool:
        """Whether an entry with these values is there."""
        return any(all(entry[key] == value for key, value in values.items()) for entry in self.read()[kind])

    def add(self, **entries: list[dict[str, Any]]) -> None:
        """Appends entries by kind, and writes."""
        with lock("results", wait=True):
            content = self.read()
            for kind, added in entries.items():
                content[kind].extend(added)
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            temporary.replace(self.path)
            write_table(content, self.path.with_suffix(".md"))

    def rate(self, name: str) -> float | None:
        """The learning rate with the best score; None while one is still untried."""
        return chosen_rates(self.read()).get(name)


@contextmanager
def lock(name: str, *, wait: bool) -> Iterator[bool]:
    """Holds a lock that goes with the process; yields whether it was free."""
    ROWS.mkdir(parents=True, exist_ok=True)
    guard = FileLock(ROWS / f"{name}.lock", timeout=-1 if wait else 0)
    try:
        guard.acquire()
    except Timeout:
        yield False
        return
    with guard:
        guard.release()  # of the two that count now
        yield True
