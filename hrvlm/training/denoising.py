"""Training of a small denoiser before a model that stays as it is.

Source: "Denoised Smoothing: A Provable Defense for Pretrained Classifiers", Salman et al., NeurIPS 2020
(arXiv 2003.01908): squared error of the pixels, and agreement of what the model says of the denoised and of the clean
picture. Here the model's features have to agree, by the squared distance at unit norm, which asks for no classes.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from hrvlm.models import load_model
from hrvlm.models.denoisers import ConvolutionalDenoiser, export_denoiser
from hrvlm.training.checks import check_weights, total_steps
from hrvlm.training.noise import drawn
from hrvlm.training.randomness import noise_seeds
from hrvlm.training.schedule import adamw_with_cosine
from hrvlm.training.settings import OptimizerSettings, TrainingNoise

OPTIMIZER = OptimizerSettings(learning_rate=2e-3, weight_decay=0.0, warmup_steps=20)
NOISE = TrainingNoise(sigma=0.25)


class DenoiserTraining(LightningModule):
    """Squared error of denoised pictures, and squared distance of their features from those of the clean ones."""

    def __init__(
        self,
        *,
        model: str = "emoji",
        width: int = 32,
        blocks: int = 4,
        noise: TrainingNoise = NOISE,
        pixel_weight: float = 10.0,
        feature_weight: float = 1.0,
        optimizer: OptimizerSettings = OPTIMIZER,
        folder: str | None = None,
        seed: int = 0,
    ) -> None:
        """Builds the denoiser.

        Args:
            model: Whose features have to agree (see `hrvlm.load_model`); it is not trained.
            width: Channels inside the denoiser.
            blocks: Its residual blocks.
            noise: Which pictures get noise, and how much.
            pixel_weight: Weight >= 0 of the squared error, a mean over pixels in units of [0, 1].
            feature_weight: Weight >= 0 of the squared distance of features of unit norm.
            optimizer: Learning rate, weight decay and warm-up.
            folder: The denoiser is exported here when training ends; None for nowhere.
            seed: Start of the random numbers of the noise.

        Raises:
            ValueError: If a weight is negative, or both are 0, or the noise is more than a denoiser is shown.
        """
        super().__init__()
        noise.check_plain("noise", "denoisers know nothing of")
        if not (0.0 <= pixel_weight < math.inf and 0.0 <= feature_weight < math.inf and pixel_weight + feature_weight):
            given = f"{pixel_weight} and {feature_weight}"
            raise ValueError(f"expected pixel_weight and feature_weight >= 0, one of them above, got {given}")
        self.denoiser = ConvolutionalDenoiser(width=width, blocks=blocks)
        self._model = [load_model(model).requires_grad_(False)]  # in a list, which keeps it out of checkpoints
        self.noise, self.optimizer_settings = noise, optimizer
        self.pixel_weight, self.feature_weight, self.folder, self.seed = pixel_weight, feature_weight, folder, seed

    def on_fit_start(self) -> None:
        """Takes the model to the device of training."""
        self._model[0].to(self.device).eval()

    def on_train_start(self) -> None:
        """Lightning starts from the modes it finds."""
        self.denoiser.train()
        check_weights(self)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a batch of pictures under noise."""
        images = batch["image"]
        noise, _ = drawn(self.noise, images, noise_seeds(self.seed, self.current_epoch, batch["index"].tolist()))
        pixels, features = self._errors(images, noise[0])
        loss = self.pixel_weight * pixels + self.feature_weight * features
        self.log_dict({"train/loss": loss, "train/pixels": pixels, "train/features": features}, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Both errors under noise that is the same in every epoch."""
        images = batch["image"]
        noise, _ = drawn(self.noise, images, noise_seeds(self.seed, 0, batch["index"].tolist()))
        pixels, features = self._errors(images, noise[0])
        found = {"validation/pixels": pixels, "validation/features": features}
        self.log_dict(found, batch_size=len(images), sync_dist=True)

    def _errors(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of the pixels, and mean squared distance of the features."""
        denoised, (model,) = self.denoiser(images + noise), self._model
        with torch.no_grad():
            clean = model.image_features(images)
        distances = (model.image_features(denoised) - clean).square().sum(dim=-1)
        return (denoised - images).square().mean(), distances.mean()

    def on_fit_end(self) -> None:
        """Exports the denoiser on the first process."""
        trial = self.trainer.fast_dev_run  # type: ignore[attr-defined]
        if self.folder is not None and self.trainer.is_global_zero and not trial:
            export_denoiser(self.denoiser, self.folder)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine over the whole run."""
        total = total_steps(self.trainer)
        return adamw_with_cosine(self.denoiser.parameters(), total_steps=total, **asdict(self.optimizer_settings))
