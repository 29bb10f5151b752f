"""Adversarial fine-tuning of an image-text model with any objective, as a LightningModule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from hrvlm.attacks import NonFiniteError
from hrvlm.attacks.randomness import PerImageGenerator
from hrvlm.data.base import ImageDataModule, image_data
from hrvlm.models import Head, HierarchicalClassifier, VisionLanguageModel, check_finite, check_trees, cosine_head
from hrvlm.models.checkpoints import DESCRIPTION, base_model, describe
from hrvlm.objectives import ImageTextModel, NoiseTerms, NoisyModel, Objective, noisy_loss
from hrvlm.old_keys import old_keys
from hrvlm.training.averaging import AveragedWeights, taken_apart
from hrvlm.training.checks import check_weights, total_steps
from hrvlm.training.failure import NonFiniteLossError, stopped
from hrvlm.training.means import log_means
from hrvlm.training.noise import drawn, trained_under
from hrvlm.training.path_alignment import AlignmentTerm
from hrvlm.training.randomness import batch_seed, noise_seeds, start_seeds, step_seed
from hrvlm.training.schedule import adamw_with_cosine
from hrvlm.training.settings import (
    FORMER_FINE_TUNING,
    OptimizerSettings,
    TowerExecution,
    TrainedParts,
    TrainingNoise,
)
from hrvlm.training.towers import TowerForward
from hrvlm.training.weight_perturbation import WeightPerturbedModule
from hrvlm.trees import Forest, load_forest

AVERAGE = "hrvlm_average"  # where checkpoints keep what an average of weights needs to go on
SCALE_IMAGES = 256  # images from which a head takes its start values


@old_keys(**FORMER_FINE_TUNING)
class RobustFineTuning(WeightPerturbedModule):
    """Finds a perturbation of each batch, then descends the objective's loss on it; both under noise, if asked for.

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
        trained: TrainedParts = TrainedParts(),
        optimizer: OptimizerSettings = OptimizerSettings(),
        noise: TrainingNoise | None = None,
        tower: TowerExecution = TowerExecution(),
        seed: int = 0,
    ) -> None:
        """Chooses model, trees and objective.

        Args:
            objective: What is trained for.
            trees: Tree files; their leaves hold the data's classes.
            model: "emoji", a folder, "hf-hub:NAME", or an open_clip architecture such as "ViT-B-32".
            pretrained: Weights of an open_clip architecture, such as "openai", or a file of weights for the model (of
                an image tower alone for "ViT-B-32/openai" and the like); null leaves an architecture untrained.
            num_levels: Cuts every tree to at most this many levels; null keeps all.
            trained: Which parts of the model are trained besides the head, and what else is done with their weights
                and embeddings.
            optimizer: Learning rate, weight decay and warm-up.
            noise: Gaussian noise on what the model sees in training, see `hrvlm.training.noise`; null for none.
            tower: How the image tower is computed: compiled, or with less memory.
            seed: Start of all random numbers: random starts of perturbations, noise, and dropout.
        """
        super().__init__()
        self.model: VisionLanguageModel = base_model(model, pretrained)
        self.objective = objective
        self.trees, self.num_levels, self.seed = list(trees), num_levels, seed
        self.freeze_batch_norm = trained.freeze_batch_norm or not trained.image_tower
        self.optimizer_settings = optimizer
        self.average_decay, self.weight_perturbation = trained.average_decay, trained.weight_perturbation
        self.noise, self._terms = noise, NoiseTerms() if noise is None else noise.terms
        self.model.config = trained_under(noise, self.model.config)
        self._alignment = None if trained.alignment is None else AlignmentTerm(trained.alignment, seed)
        self._average: AveragedWeights | None = None
        self._stored_average: dict[str, Any] | None = None
        self._tower = TowerForward(self.model.clip.visual, tower)
        self.model.requires_grad_(False)
        self.model.clip.visual.requires_grad_(trained.image_tower)
        for parameter in self.model.text_projection_parameters():
            parameter.requires_grad_(trained.text_projection and objective.trains_text)

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
        check_trees(self.model, self.objective.forest)
        rank_zero_info(f"Preparing {len(self.objective.prompts())} prompts of all levels, and a sample of the pictures")
        self.objective.prepare(self.model, data.training_examples(SCALE_IMAGES))
        if self._alignment is not None:
            self._alignment.prepare(self.model, data, self.forest)

    def datamodule(self) -> ImageDataModule:
        """The trainer's data module, see `image_data`."""
        return image_data(self.trainer)

    def evaluated(self) -> tuple[VisionLanguageModel, Head]:
        """Model and head that are validated, certified and exported: the averaged ones where there is an average."""
        if self._average is None:
            return self.model, self.objective.head
        return self._average.copies["model"], self._average.copies["objective.head"]  # type: ignore[return-value]

    def classifier(self) -> HierarchicalClassifier:
        """The classifiers that the present weights and head give, or their average if there is one."""
        return HierarchicalClassifier(*self.evaluated(), self.forest).to(self.device)

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

    def on_fit_start(self) -> None:
        """Starts the average, or takes it from the checkpoint, now that the weights are loaded and on their device."""
        # Asking for the folder is a conversation of all processes, which cannot be had once one of them has failed.
        self._log_folder = Path(self.trainer.log_dir or self.trainer.default_root_dir)
        if self.average_decay is not None:
            parts = {"model": self.model, "objective.head": self.objective.head}
            self._average = AveragedWeights(parts, self.average_decay)
            if self._stored_average is not None:
                self._average.restore(**self._stored_average)

    def on_train_start(self) -> None:
        """Lightning starts from the modes it finds, and a loaded model is in evaluation mode."""
        super().on_train_start()
        self.train()
        check_weights(self)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """One perturbation of the batch, and the loss on it.

        Raises:
            NonFiniteLossError: If loss or gradient are not numbers; the batch is saved first.
        """
        images, labels = batch["image"], self.objective.targets(self.model, batch)
        torch.manual_seed(step_seed(self.seed, self.current_epoch, batch_idx, self.global_rank))
        seeds = start_seeds(self.seed, self.current_epoch, batch["index"].tolist())
        starts = PerImageGenerator(seeds, self.device, batch_seed(self.seed, self.current_epoch, batch_idx))
        model = self._seen(batch)
        with self._tower.in_place(), self.moved.back_on_error():
            try:
                with self._tower.perturbing() if self.objective.perturbs else nullcontext():
                    adversarial = self.objective.perturb(model, images, labels, starts)
                given = self.objective, model, adversarial, images, labels, self._terms
                self.move_weights(lambda: self._loss(batch, *given)[0])
                loss, logs = self._loss(batch, *given)
            except NonFiniteError as error:
                raise self._stopped(batch, str(error)) from error
            mean = log_means(self, {"loss": loss.detach(), **logs})
            if not bool(mean.isfinite()):  # on every process alike, so that none waits for one that stopped
                raise self._stopped(batch, f"expected a finite loss, got {mean.item()}")
        return loss

    def _loss(self, batch: dict[str, Any], *given: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """What is descended: the objective's loss, and the alignment if there is any."""
        found = noisy_loss(*given)
        if self._alignment is None:
            return found
        return self._alignment.added(found, self.model, batch, self.current_epoch)

    def _seen(self, batch: dict[str, Any]) -> ImageTextModel:
        """The model, behind this batch's noise if there is any."""
        if self.noise is None:
            return self.model
        seeds = noise_seeds(self.seed, self.current_epoch, batch["index"].tolist())
        return NoisyModel(self.model, *drawn(self.noise, batch["image"], seeds))

    def _stopped(self, batch: dict[str, Any], what: str) -> NonFiniteLossError:
        return stopped(batch, what, step=self.global_step, rank=self.global_rank, folder=self._log_folder)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step, and then one of the average, before any callback may store a checkpoint."""
        super().optimizer_step(*args, **kwargs)
        if self._average is not None:
            self._average.update()

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
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise ValueError("expected something to train, got all of it switched off; see trained.image_tower")
        total = total_steps(self.trainer)
        return adamw_with_cosine(self.parameters(), total_steps=total, **asdict(self.optimizer_settings))

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Loads weights; Lightning calls this when a run is resumed.

        Raises:
            ValueError: If they are those of another model, objective or forest, or not finite.
        """
        check_finite(state_dict, "the checkpoint")
        try:
            return super().load_state_dict(state_dict, strict=strict, assign=assign)
        except RuntimeError as error:
            problem = " ".join(str(error).split())[:300]
            raise ValueError(f"expected a checkpoint of this model, objective and trees: {problem}") from error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what is needed to load model and head without this class; an average takes the place of the weights."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[DESCRIPTION] = describe(self.model, self.objective.head, list(self.forest.leaves))
        if self._average is not None:
            self._average.store(checkpoint, AVERAGE)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts the weights that training goes on from back in their place before they are loaded."""
        self._stored_average = taken_apart(checkpoint, AVERAGE)
