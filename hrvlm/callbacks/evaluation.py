"""What callbacks that evaluate a run share: a label of their own, and weights that are stored before they begin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.utilities.model_helpers import is_overridden

UNEVALUATED = "unevaluated.ckpt"
_secured: WeakKeyDictionary[Trainer, int] = WeakKeyDictionary()


class EvaluationCallback(Callback):
    """A callback that evaluates the weights of a moment and writes what it finds under a label of its own.

    Several of one class in a run have different labels: the first unnamed one goes by its kind, further ones are
    numbered in the order of the configuration, and a name is put after the kind. Labels are folders beside the run's
    metrics and the first part of what is logged.

    Attributes:
        kind: What such a callback makes, the label of the first one.
        label: The callback's own.
    """

    kind: ClassVar[str] = ""

    def __init__(self, name: str | None = None) -> None:
        """Takes a name that tells the callback from others of its class; null numbers them.

        Raises:
            ValueError: If the name could not be part of a folder's.
        """
        if name is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, flags=re.ASCII):
            raise ValueError(f"expected name of letters, digits, '.', '-' and '_', got {name!r}")
        self.name = name
        self.label = self.kind if name is None else f"{self.kind}_{name}"

    @property
    def state_key(self) -> str:
        """Tells several of one class apart in a checkpoint."""
        return f"{type(self).__qualname__}[{self.label}]"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Chooses the label, now that all callbacks are known.

        Raises:
            ValueError: If two callbacks of one kind have one name.
        """
        same = [other for other in evaluations(trainer) if other.kind == self.kind]
        unnamed = [other for other in same if other.name is None]
        for number, other in enumerate(unnamed, start=1):
            other.label = self.kind if number == 1 else f"{self.kind}_{number}"
        labels = [other.label for other in same]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(
                f"expected {type(self).__name__}s of different names, got {', '.join(twice)} twice: the second would "
                "write over the first; give each a name"
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What is evaluated after training is stored before."""
        secure_last_weights(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning calls this where all went well: only the checkpoints that were asked for are left."""
        if stage == "fit":
            discard(trainer)


def evaluations(trainer: Trainer) -> list[EvaluationCallback]:
    """The evaluating callbacks of a run, in order."""
    return [callback for callback in trainer.callbacks if isinstance(callback, EvaluationCallback)]  # type: ignore[attr-defined]


def secure_weights(trainer: Trainer, module: LightningModule) -> None:
    """Has the present weights stored before they are evaluated, so that no evaluation that fails can lose them.

    Lightning asks checkpoints last at the end of an epoch. Those that do not depend on what is evaluated are asked
    here, before; asked again, they do nothing. Where none of them has stored the weights (they choose by certificates,
    store fewer epochs, or hold the state of a callback that has not seen this epoch yet), they go to `unevaluated.ckpt`
    beside them, which training can be resumed from as well. Nothing is stored in a run without checkpoints.

    Args:
        trainer: At the end of an epoch; all processes call this.
        module: What is trained.
    """
    if not _stored(trainer) and not _others_with_state(trainer):
        for checkpoint in _checkpoints(trainer):
            if not _waits(checkpoint, trainer):
                checkpoint.on_train_epoch_end(trainer, module)
    secure_last_weights(trainer)


def secure_last_weights(trainer: Trainer) -> None:
    """Stores the present weights unless they are; all processes call this."""
    checkpoints = _checkpoints(trainer)
    tried = trainer.fast_dev_run  # type: ignore[attr-defined]
    if checkpoints and not tried and not _stored(trainer):
        trainer.save_checkpoint(Path(str(checkpoints[0].dirpath)) / UNEVALUATED)
        _secured[trainer] = trainer.global_step


def discard(trainer: Trainer) -> None:
    """Removes what was stored for evaluations that have all succeeded."""
    if trainer.is_global_zero:
        for checkpoint in _checkpoints(trainer):
            (Path(str(checkpoint.dirpath)) / UNEVALUATED).unlink(missing_ok=True)


def _checkpoints(trainer: Trainer) -> list[ModelCheckpoint]:
    return [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]


def _stored(trainer: Trainer) -> bool:
    """Whether a checkpoint holds the present weights."""
    steps: list[Any] = [getattr(checkpoint, "_last_global_step_saved", None) for checkpoint in _checkpoints(trainer)]
    return trainer.global_step in [*steps, _secured.get(trainer)]


def _waits(checkpoint: ModelCheckpoint, trainer: Trainer) -> bool:
    """Whether a checkpoint is chosen or named by what evaluations log."""
    asked = f"{checkpoint.monitor or ''} {checkpoint.filename or ''}"
    return any(f"{evaluation.label}/" in asked for evaluation in evaluations(trainer))


def _others_with_state(trainer: Trainer) -> bool:
    """Whether callbacks that may not have seen this epoch yet, such as early stopping, keep state in checkpoints."""
    return any(
        is_overridden("state_dict", callback, parent=Callback)
        for callback in trainer.callbacks  # type: ignore[attr-defined]
        if not isinstance(callback, Checkpoint)
    )
