"""Writes the trained model as a folder that open_clip loads."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from hrvlm.models import Head, VisionLanguageModel, export_model


class ExportModel(Callback):
    """Exports `module.model`, with the objective's head where there is one, when training ends."""

    def __init__(self, folder: str, *, half: bool = False) -> None:
        """Chooses the folder.

        Args:
            folder: Made if missing.
            half: Stores matrices and convolutions in 16 bits.
        """
        self.folder, self.half = folder, half

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exports on the first process."""
        model = getattr(pl_module, "model", None)
        if not isinstance(model, VisionLanguageModel):
            raise ValueError(f"expected a module with a VisionLanguageModel to export, got {type(pl_module).__name__}")
        if trainer.is_global_zero:
            head = getattr(getattr(pl_module, "objective", None), "head", None)
            trained = head if isinstance(head, Head) else None
            classes = None if trained is None else list(pl_module.forest.leaves)  # type: ignore[union-attr,arg-type]
            export_model(model, self.folder, half=self.half, head=trained, classes=classes)
