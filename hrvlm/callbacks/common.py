"""What the callbacks share: folders, rows of all processes, progress."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from hrvlm.callbacks.run_progress import RunProgress
from hrvlm.evaluation.progress import Followed, following
from hrvlm.training.fine_tuning import RobustFineTuning

TRIAL_IMAGES = 2


def results_folder(trainer: Trainer) -> Path:
    """Where a run's rows go: beside its metrics, of a `fast_dev_run` nowhere that lasts. The same on every process."""
    folder = _trial_folder() if is_trial(trainer) else trainer.log_dir or trainer.default_root_dir
    return Path(str(trainer.strategy.broadcast(folder)))


@cache
def _trial_folder() -> str:
    """A folder that is gone when the process ends."""
    folder = mkdtemp(prefix="hrvlm-trial-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_trial(trainer: Trainer) -> bool:
    """Whether the run is a `fast_dev_run`, which tries everything and leaves nothing behind."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def chosen_images(trainer: Trainer, indices: list[int]) -> list[int]:
    """The images that a callback looks at: those of its plan, in a trial only enough for every process."""
    return indices[: max(TRIAL_IMAGES, trainer.world_size)] if is_trial(trainer) else indices


def fine_tuned(module: LightningModule) -> RobustFineTuning:
    """The module, if it has the classifiers that callbacks evaluate.

    Raises:
        ValueError: If it is another module.
    """
    if not isinstance(module, RobustFineTuning):
        raise ValueError(f"expected a RobustFineTuning module for this callback, got {type(module).__name__}")
    return module


def gather_rows(trainer: Trainer, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of all processes, on every process."""
    if trainer.world_size == 1:
        return rows
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, rows)
    return [row for part in parts for row in part]


@contextmanager
def progress_bar(trainer: Trainer, what: str, total: int) -> Iterator[Followed]:
    """Shows on the first process how far the work of a callback has come, in the run's display where it has one."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, RunProgress):
        shown = bar.task(what, total)
    else:
        shown = following(what, total, shown=trainer.is_global_zero and bar is not None)
    with shown as followed:
        yield followed


def log_directly(trainer: Trainer, numbers: Mapping[str, float]) -> None:
    """Straight to the loggers: Lightning's own logging is closed before and after training."""
    if not trainer.is_global_zero:
        return
    for logger in trainer.loggers:
        logger.log_metrics(dict(numbers), step=trainer.global_step)
        logger.save()


@contextmanager
def on_device(trainer: Trainer, module: RobustFineTuning) -> Iterator[None]:
    """The module on the trainer's device, from which Lightning has moved it away when training has ended."""
    before = module.device
    try:
        module.to(trainer.strategy.root_device)
        yield
    finally:
        module.to(before)
