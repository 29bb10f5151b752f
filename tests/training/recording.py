"""A callback that writes the loss of every batch to the last bit, and can kill its own process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Recorder(Callback):
    """One line per batch: epoch, batch, loss and learning rate as hexadecimal numbers, indices of the pictures."""

    def __init__(self, path: str, kill_after: int | None = None) -> None:
        self.path, self.kill_after, self.count = Path(path), kill_after, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        indices = ",".join(map(str, batch["index"].tolist()))
        loss = float(outputs["loss"]).hex()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{trainer.current_epoch} {batch_idx} {loss} {rate.hex()} {indices}\n")
        self.count += 1
        if self.count == self.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
