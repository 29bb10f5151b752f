"""Figures for the loggers that take pictures: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

Taker: TypeAlias = Callable[[Any, str, Any, int], None]
"""Gives a logger a name, a picture `(H, W, 3)` of bytes, and the step."""


def log_figures(trainer: Trainer, figures: Callable[[], Mapping[str, Any]]) -> None:
    """Hands figures to every logger that takes pictures, from the first process; else they are not even drawn.

    Args:
        trainer: of the run.
        figures: makes matplotlib figures by the names that they are logged under, such as
            "certificates/certified_accuracy".
    """
    takers = [(logger, take) for logger in trainer.loggers for take in _takers(logger)]
    if not takers or not trainer.is_global_zero:
        return
    from hrvlm.figures import pixels  # with matplotlib, which other runs need not wait for

    for name, figure in figures().items():
        picture = pixels(figure)
        for logger, take in takers:
            take(logger, name, picture, trainer.global_step)


def _takers(logger: Logger) -> Iterator[Taker]:
    yield from (take for kind, take in _TAKERS.items() if isinstance(logger, kind))


def _tensorboard(logger: TensorBoardLogger, name: str, picture: Any, step: int) -> None:
    logger.experiment.add_image(name, picture, step, dataformats="HWC")


def _wandb(logger: WandbLogger, name: str, picture: Any, step: int) -> None:
    logger.log_image(key=name, images=[picture], step=step)


def _mlflow(logger: MLFlowLogger, name: str, picture: Any, step: int) -> None:
    logger.experiment.log_image(logger.run_id, picture, artifact_file=f"{name}/step={step:07d}.png")


_TAKERS: Mapping[type[Logger], Taker] = {TensorBoardLogger: _tensorboard, WandbLogger: _wandb, MLFlowLogger: _mlflow}
