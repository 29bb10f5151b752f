"""Writes the trained model as a folder that open_clip loads."""

from __future__ import annotations

import os

from lightning.pytorch import Callback, LightningModule, Trainer

from hrvlm.callbacks.common import is_trial
from hrvlm.callbacks.evaluation import discard, secure_last_weights
from hrvlm.models import VisionLanguageModel, export_model
from hrvlm.training.fine_tuning import RobustFineTuning


class ExportModel(Callback):
    """Exports a module's model, with the head of its objective where there is one, when training ends."""

    def __init__(self, folder: str, *, half: bool = False) -> None:
        """Chooses the folder.

        Args:
            folder: Made if missing.
            half: Stores matrices and convolutions in 16 bits.
        """
        if not folder.strip():
            raise ValueError("expected the path of a folder to export to, got an empty text")
        self.folder, self.half = folder, half

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Looks at the other exports of the run.

        Raises:
            ValueError: If another one goes to the same folder.
        """
        others = [found for found in trainer.callbacks if isinstance(found, ExportModel)]  # type: ignore[attr-defined]
        if sum(os.path.realpath(other.folder) == os.path.realpath(self.folder) for other in others) > 1:
            raise ValueError(f"expected one export to {self.folder}, got several with this folder")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """An export that fails leaves the weights in a checkpoint."""
        secure_last_weights(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning calls this where all went well."""
        if stage == "fit":
            discard(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exports on the first process, the averaged weights where there is an average."""
        model, head, classes = getattr(pl_module, "model", None), None, None
        if isinstance(pl_module, RobustFineTuning):
            model, head = pl_module.evaluated()
            classes = list(pl_module.forest.leaves)
        if not isinstance(model, VisionLanguageModel):
            raise ValueError(f"expected a module with a VisionLanguageModel to export, got {type(pl_module).__name__}")
        if trainer.is_global_zero and not is_trial(trainer):
            export_model(model, self.folder, half=self.half, head=head, classes=classes)
