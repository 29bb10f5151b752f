"""Whether results can be written where training is to write them."""

from __future__ import annotations

from collections.abc import Iterator

from lightning.pytorch import LightningModule, Trainer

from hrvlm.callbacks.export import ExportModel
from hrvlm.whole_files import LEAST_ROOM, check_place


def check_results(trainer: Trainer, module: LightningModule) -> None:
    """Looks at all folders that training writes to, before it begins.

    Raises:
        ValueError: If one of them cannot be written to, or has no room for the weights where these are to go.
    """
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return
    size = sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
    for folder, needed in _places(trainer, size):
        if "://" not in folder:
            check_place(folder, needed)


def _places(trainer: Trainer, size: int) -> Iterator[tuple[str, int]]:
    logged = [str(logger.save_dir) for logger in trainer.loggers if logger.save_dir]
    yield from ((folder, LEAST_ROOM) for folder in logged)
    for callback in trainer.checkpoint_callbacks:
        folder = getattr(callback, "dirpath", None) or next(iter(logged), trainer.default_root_dir)
        yield str(folder), LEAST_ROOM + size
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ExportModel):
            yield callback.folder, LEAST_ROOM + (size // 2 if callback.half else size)
