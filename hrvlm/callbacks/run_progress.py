"""How far training has come: one live display in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar
from rich.progress import Progress
from torch import Tensor

from hrvlm.certificates.kinds.scalars import CERTIFIED_AT
from hrvlm.evaluation.pace import Pace, in_words, tell
from hrvlm.evaluation.progress import Followed, LiveTask, following, live_display, somebody_sits_there

CERTIFIED = f"/{CERTIFIED_AT}"
EVERY_NOTE = 0.5  # seconds: reading a loss waits for the device


class RunProgress(ProgressBar):
    """Shows epoch, step, loss, pictures per second, time left, and the certified accuracy of the last certification.

    Takes the place of Lightning's own bars in `train.py`: these write blank lines where there is no terminal, and what
    callbacks show beside them stands still. Callbacks show theirs in the same display, see `task`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._display: Progress | None = None
        self._steps: LiveTask | None = None
        self._pace, self._began, self._noted, self._first = Pace(), 0.0, 0.0, 0
        self._pictures, self._busy, self._batch_began = 0, 0.0, 0.0

    def disable(self) -> None:
        """Shows nothing; Lightning calls this on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Shows something again."""
        self._enabled = True

    @contextmanager
    def task(self, what: str, total: float) -> Iterator[Followed]:
        """Shows how far the task of a callback has come while it runs.

        Args:
            what: The task, such as "certifying".
            total: To how much `advance` will add up.
        """
        if self._display is None:
            with following(what, total, shown=self._enabled) as followed:
                yield followed
            return
        part = LiveTask(self._display, what, total)
        try:
            yield part
        finally:
            self._display.remove_task(part.number)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count time."""
        self._pace, self._began = Pace(), time.monotonic()
        self._first = trainer.global_step
        if self._enabled and somebody_sits_there():
            self._display = live_display()
            self._display.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins an epoch's line."""
        if self._display is not None:
            if self._steps is not None:
                self._display.remove_task(self._steps.number)
            self._steps = LiveTask(self._display, self._epoch(trainer), float(self.total_train_batches))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Counts the time of steps, without that of what callbacks do between them."""
        self._batch_began = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Shows the step."""
        self._pictures += _pictures(batch) * trainer.world_size
        self._busy += time.monotonic() - self._batch_began
        if self._steps is not None:
            if time.monotonic() - self._noted > EVERY_NOTE:
                self._noted, self._steps.note = time.monotonic(), ", ".join(self._facts(trainer, outputs))
            self._steps.advance()
        elif self._enabled and self._pace.due():
            step = f"{self._epoch(trainer)}, step {batch_idx + 1} of {self.total_train_batches:g}"
            tell(", ".join([step, *self._facts(trainer, outputs), *self._left(trainer, batch_idx + 1)]))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Says a line, if one is due."""
        quiet = trainer.sanity_checking or self._display is not None or not self._enabled
        if not quiet and self._pace.due():
            tell(f"validating: batch {batch_idx + 1} of {trainer.num_val_batches[dataloader_idx]:g}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the display away: what follows is printed below it."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Takes the display away, so that the message stands alone."""
        self._stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes the display away, whatever was run."""
        self._stop()

    def _stop(self) -> None:
        if self._display is not None:
            self._display.stop()
        self._display = self._steps = None

    def _epoch(self, trainer: Trainer) -> str:
        last = trainer.max_epochs
        return f"epoch {trainer.current_epoch + 1}" + (f" of {last}" if last is not None and last > 0 else "")

    def _facts(self, trainer: Trainer, outputs: Any) -> Iterator[str]:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            yield f"loss {float(loss.detach()):.4g}"
        if self._pictures and self._busy > 0:
            yield f"{self._pictures / self._busy:.3g} pictures a second"
        yield from _certified(trainer.callback_metrics)

    def _left(self, trainer: Trainer, step: int) -> Iterator[str]:
        """How long training is going to take, by what it has taken since this process began."""
        total, first = trainer.estimated_stepping_batches, self._first
        done = trainer.global_step - first
        if 0 < total < float("inf") and done > 0:
            seconds = (time.monotonic() - self._began) / done * max(0.0, total - first - done)
            yield f"{in_words(seconds)} left"


def in_place_of_lightnings(trainer: Trainer) -> None:
    """Puts `RunProgress` where a trainer has one of Lightning's bars."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for place, callback in enumerate(callbacks):
        if type(callback) in (RichProgressBar, TQDMProgressBar):
            callbacks[place] = RunProgress()


def _pictures(batch: Any) -> int:
    """Pictures of a batch, as data modules of hrvlm give them."""
    images = batch.get("image") if isinstance(batch, Mapping) else None
    return len(images) if isinstance(images, Tensor) else 0


def _certified(metrics: Mapping[str, Any]) -> Iterator[str]:
    """The certified accuracy of the leaves, from what the last certification logged."""
    found = [name for name in metrics if CERTIFIED in name]
    if found:
        start = found[0].partition(CERTIFIED)[0]
        shares = (f"{float(metrics[n]):.0%} at {n.partition(CERTIFIED)[2]}" for n in found if n.startswith(start))
        yield f"certified {', '.join(shares)}"
