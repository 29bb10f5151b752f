"""Training that met numbers that are none stops, and leaves the batch behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor


class NonFiniteLossError(RuntimeError):
    """Training met a loss or gradient that is not a number."""


def stopped(batch: dict[str, Any], what: str, *, step: int, rank: int, folder: Path) -> NonFiniteLossError:
    """Saves a batch and makes the error to raise.

    Args:
        batch: What was trained on; its tensors are saved.
        what: What was wrong.
        step: Number of optimizer steps taken.
        rank: Number of this process, from 0.
        folder: Where the batch goes, made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"non_finite_batch_rank{rank}.safetensors"
    tensors = {key: value.detach().cpu().contiguous() for key, value in batch.items() if isinstance(value, Tensor)}
    save_file(tensors, path)
    return NonFiniteLossError(
        f"training stopped at step {step}: {what}; the batch is saved in {path}; lower learning_rate"
    )
