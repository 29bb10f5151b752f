"""Writes the trained model as a folder that open_clip loads."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

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
        self.folder, self.half = folder, half

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exports on the first process, the averaged weights where there is an average."""
        model, head, classes = getattr(pl_module, "model", None), None, None
        if isinstance(pl_module, RobustFineTuning):
            model, head = pl_module.evaluated()
            classes = list(pl_module.forest.leaves)
        if not isinstance(model, VisionLanguageModel):
            raise ValueError(f"expected a module with a VisionLanguageModel to export, got {type(pl_module).__name__}")
        if trainer.is_global_zero:
            export_model(model, self.folder, half=self.half, head=head, classes=classes)
