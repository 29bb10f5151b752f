"""Adversarial fine-tuning of an image-text model with any objective, as a LightningModule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from safetensors.torch import save_file
from torch import Tensor, nn

from hrvlm.attacks import NonFiniteError
from hrvlm.data.base import ImageDataModule
from hrvlm.data.sampling import Address, evenly_spread
from hrvlm.models import HierarchicalClassifier, VisionLanguageModel, cosine_head
from hrvlm.models.checkpoints import DESCRIPTION, base_model, describe
from hrvlm.objectives import Objective
from hrvlm.training.schedule import adamw_with_cosine
from hrvlm.trees import Forest, load_forest

SCALE_IMAGES = 256  # images from which a head takes its start values


class RobustFineTuning(LightningModule):
    """Finds a perturbation of each batch, then descends the objective's loss on it.

    What is trained is the image tower, the text projection where the objective reaches it, and the head. The text tower
    before its projection stays fixed and is run once.
    """

    def __init__(
        self,
        *,
        objective: Objective,
        trees: Sequence[str],
        model: str = "emoji",
        pretrained: str | None = None,
        num_levels: int | None = None,
        train_text_projection: bool = True,
        freeze_batch_norm: bool = True,
        learning_rate: float = 5e-4,
        weight_decay: float = 1e-4,
        warmup_steps: int = 20,
        seed: int = 0,
    ) -> None:
        """Chooses model, trees and objective.

        Args:
            objective: What is trained for.
            trees: Tree files; their leaves hold the data's classes.
            model: "emoji", an exported folder, or an open_clip architecture such as "ViT-B-32".
            pretrained: Weights of an open_clip architecture, such as "openai"; null leaves it untrained. Not used for
                "emoji" and folders, which bring their own.
            num_levels: Cuts every tree to at most this many levels; null keeps all.
            train_text_projection: Whether the text projection is trained where the objective reaches it.
            freeze_batch_norm: Keeps batch-norm statistics as they are; perturbed batches would spoil them.
            learning_rate: Peak of warm-up and cosine.
            weight_decay: Of AdamW.
            warmup_steps: Linear warm-up.
            seed: Of the random starts of perturbations.
        """
        super().__init__()
        self.model: VisionLanguageModel = base_model(model, pretrained)
        self.objective = objective
        self.trees, self.num_levels, self.seed = list(trees), num_levels, seed
        self.freeze_batch_norm = freeze_batch_norm
        self.optimizer_settings: dict[str, Any] = {
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "warmup_steps": warmup_steps,
        }
        self.model.requires_grad_(False)
        self.model.clip.visual.requires_grad_(True)
        for parameter in self.model.text_projection_parameters():
            parameter.requires_grad_(train_text_projection and objective.trains_text)

    @property
    def forest(self) -> Forest:
        """The trees over the data's classes."""
        return self.objective.forest

    def setup(self, stage: str) -> None:
        """Binds the objective to the trees, and caches the texts before the model is wrapped for several devices."""
        if len(self.objective.text_hidden):
            return
        data = self.datamodule()
        self.objective.bind(load_forest(self.trees, leaves=data.class_ids, num_levels=self.num_levels))
        self.objective.prepare(self.model, self._start_images(data))

    def datamodule(self) -> ImageDataModule:
        """The trainer's data module.

        Raises:
            ValueError: If there is none.
        """
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ImageDataModule):
            raise ValueError(f"expected the trainer to hold an ImageDataModule, got {type(data).__name__}")
        return data

    def _start_images(self, data: ImageDataModule) -> Tensor:
        training = data.training_set if data.training_set is not None else data.build_training()
        samples = [training[Address(index, 0)] for index in evenly_spread(len(training), SCALE_IMAGES)]
        return torch.stack([sample["image"] for sample in samples])

    def classifier(self) -> HierarchicalClassifier:
        """The classifiers that the present weights and head give."""
        return HierarchicalClassifier(self.model, self.objective.head, self.forest).to(self.device)

    def zero_shot_classifier(self) -> HierarchicalClassifier:
        """The classifiers that plain CLIP makes of the present weights: cosines with the model's own scale."""
        return HierarchicalClassifier(self.model, cosine_head(self.model).to(self.device), self.forest).to(self.device)

    def train(self, mode: bool = True) -> RobustFineTuning:
        """Training mode, but for frozen batch norms."""
        super().train(mode)
        if self.freeze_batch_norm:
            for part in self.model.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()
        return self

    def on_train_start(self) -> None:
        """Lightning starts from the modes it finds, and a loaded model is in evaluation mode."""
        self.train()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One perturbation of the batch, and the loss on it.

        Raises:
            NonFiniteLossError: If loss or gradient are not numbers; the batch is saved first.
        """
        images, labels = batch["image"], batch["label"]
        try:
            adversarial = self.objective.perturb(self.model, images, labels, self._generator())
            loss, logs = self.objective.loss(self.model, adversarial, images, labels)
        except NonFiniteError as error:
            raise self._stopped(batch, str(error)) from error
        if not bool(torch.isfinite(loss)):
            raise self._stopped(batch, f"expected a finite loss, got {loss.item()}")
        self.log_dict({f"train/{name}": value for name, value in logs.items()}, prog_bar=False)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def _generator(self) -> torch.Generator:
        """Random starts are a function of (seed, step, rank), so a resumed run draws what the first would have."""
        generator = torch.Generator(device=self.device)
        generator.manual_seed(hash((self.seed, self.global_step, self.global_rank)) % 2**63)
        return generator

    def _stopped(self, batch: dict[str, Any], what: str) -> NonFiniteLossError:
        folder = Path(self.trainer.log_dir or self.trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"non_finite_batch_rank{self.global_rank}.safetensors"
        tensors = {key: value.detach().cpu().contiguous() for key, value in batch.items() if isinstance(value, Tensor)}
        save_file(tensors, path)
        return NonFiniteLossError(
            f"training stopped at step {self.global_step}: {what}; the batch is saved in {path}; lower learning_rate"
        )

    def on_validation_epoch_start(self) -> None:
        """Takes the classifiers of the present weights."""
        self._validated = [self.classifier()]  # in a list: as a sub-module its weights would enter checkpoints again

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Clean accuracy at every level."""
        (classifier,) = self._validated
        for key, predictions in classifier.predict(batch["image"]).items():
            correct = predictions == classifier.target(batch["label"], key)
            name = f"validation/accuracy/{classifier.name(key)}"
            self.log(name, correct.float().mean(), batch_size=len(correct), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine over the whole run."""
        total = int(self.trainer.estimated_stepping_batches)
        return adamw_with_cosine(self.parameters(), total_steps=total, **self.optimizer_settings)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Loads weights; Lightning calls this when a run is resumed.

        Raises:
            ValueError: If they are those of another model, objective or forest.
        """
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except RuntimeError as error:
            problem = " ".join(str(error).split())[:300]
            raise ValueError(f"expected a checkpoint of this model, objective and trees: {problem}") from error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to load model and head without this class."""
        checkpoint[DESCRIPTION] = describe(self.model, self.objective.head, list(self.forest.leaves))


class NonFiniteLossError(RuntimeError):
    """Training met a loss or gradient that is not a number."""
