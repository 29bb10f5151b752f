"""Contrastive pretraining of a small open_clip model from scratch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor

from hrvlm.models.building import from_config, read_config
from hrvlm.models.checkpoints import base_model
from hrvlm.models.finite import labels_of
from hrvlm.objectives.contrastive import caption_truth, contrastive_loss, prompt_losses
from hrvlm.old_keys import old_keys
from hrvlm.training.checks import check_weights, total_steps
from hrvlm.training.randomness import step_seed
from hrvlm.training.schedule import adamw_with_cosine
from hrvlm.training.settings import FORMER_OPTIMIZER, OptimizerSettings

MAX_LOGIT_SCALE = 100.0  # as CLIP clips it
OPTIMIZER = OptimizerSettings(learning_rate=1e-3, weight_decay=0.1, warmup_steps=200)


@old_keys(**FORMER_OPTIMIZER)
class ContrastivePretraining(LightningModule):
    """Image-caption contrastive loss, plus images against the prompts of all classes at every level.

    The data module's training set gives captions and the prompts (see `CaptionedEmoji`).
    """

    def __init__(
        self,
        *,
        model_config: str,
        initial_model: str | None = None,
        optimizer: OptimizerSettings = OPTIMIZER,
        caption_weight: float = 1.0,
        altered_captions: bool = True,
        prompt_weight: float = 1.0,
        superclass_weight: float = 0.3,
        seed: int = 0,
    ) -> None:
        """Builds the model.

        Args:
            model_config: JSON file in open_clip's form.
            initial_model: Exported folder of the same architecture whose weights training goes on from; null starts
                from random ones.
            optimizer: Learning rate, weight decay and warm-up.
            caption_weight: Of the contrastive loss over the batch's captions.
            altered_captions: Whether each caption comes a second time with one statement made wrong, as a negative.
            prompt_weight: Of the cross-entropy against all leaf prompts.
            superclass_weight: Of the same at each level above the leaves.
            seed: Seed of dropout, where the model has any.
        """
        super().__init__()
        self.save_hyperparameters(ignore=["optimizer"])
        # As plain values, for checkpoints are opened without running code of theirs.
        self.save_hyperparameters({"optimizer": asdict(optimizer)})
        self.optimizer_settings = optimizer
        self.model = from_config(read_config(model_config), name="pretrained")
        if initial_model is not None:
            self.model.load_state_dict(base_model(initial_model, None).state_dict())
        self._truth: Tensor | None = None

    def on_fit_start(self) -> None:
        """Reads the prompts of every level from the training set."""
        data = self.trainer.datamodule.training_set  # type: ignore[attr-defined]
        self._truth = data.truth_table().to(self.device)
        self._ancestors = [torch.tensor(ancestors, device=self.device) for ancestors in data.ancestors]
        for prompts in data.prompts:
            self.model.check_prompts(prompts, "prompts of a level")
        self._tokens = [self.model.tokenize(prompts) for prompts in data.prompts]

    def on_train_start(self) -> None:
        """Lightning leaves a loaded model in evaluation mode, also where a run goes on inside an epoch."""
        self.model.train()
        check_weights(self)

    def _encode_tokens(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.model.clip.encode_text(tokens), dim=-1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a batch of captioned pictures."""
        torch.manual_seed(step_seed(self.hparams["seed"], self.current_epoch, batch_idx, self.global_rank))
        images = self.model.image_features(batch["image"])
        groups = [self._caption_tokens(batch), *self._tokens]
        captions, *prompts = self._encode_tokens(torch.cat(groups)).split([len(group) for group in groups])
        scale = self.model.logit_scale.clamp(max=MAX_LOGIT_SCALE)
        truth = self._caption_truth(batch)
        contrastive = contrastive_loss(images, captions, scale, truth)
        levels = prompt_losses(images, prompts, scale, [ancestors[batch["label"]] for ancestors in self._ancestors])
        weights = self.hparams
        loss = weights["caption_weight"] * contrastive + weights["prompt_weight"] * levels[0]
        loss = loss + weights["superclass_weight"] * torch.stack(levels[1:]).sum()
        self.log_dict({"train/loss": loss, "train/captions": contrastive, "train/leaf": levels[0]}, prog_bar=True)
        return loss

    def _caption_tokens(self, batch: dict[str, Any]) -> Tensor:
        altered = batch["altered_caption"] if self.hparams["altered_captions"] else []
        return self.model.tokenize([*batch["caption"], *altered])

    def _caption_truth(self, batch: dict[str, Any]) -> Tensor:
        """Which captions are true of which images: (B, B), or (B, 2B) with the altered ones."""
        assert self._truth is not None
        covers = self._truth[batch["node"]][:, batch["label"]].T
        if not self.hparams["altered_captions"]:
            return caption_truth(covers, batch["values"], batch["stated"])
        return caption_truth(covers.repeat(1, 2), batch["values"], torch.cat([batch["stated"], batch["altered"]]))

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Zero-shot accuracy at every level."""
        images = self.model.image_features(batch["image"])
        for level, (tokens, ancestors) in enumerate(zip(self._tokens, self._ancestors, strict=True)):
            correct = labels_of(images @ self._encode_tokens(tokens).T) == ancestors[batch["label"]]
            self.log(f"validation/accuracy_{level}", correct.float().mean(), batch_size=len(correct), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine over the whole run."""
        total = total_steps(self.trainer)
        return adamw_with_cosine(self.model.parameters(), total_steps=total, **asdict(self.optimizer_settings))
