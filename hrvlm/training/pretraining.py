"""Contrastive pretraining of a small open_clip model from scratch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor

from hrvlm.models.building import from_config, read_config
from hrvlm.objectives.contrastive import caption_truth, contrastive_loss, prompt_losses
from hrvlm.training.schedule import adamw_with_cosine

MAX_LOGIT_SCALE = 100.0  # as CLIP clips it


class ContrastivePretraining(LightningModule):
    """Image-caption contrastive loss, plus images against the prompts of all classes at every level.

    The data module's training set gives captions and the prompts (see `CaptionedEmoji`).
    """

    def __init__(
        self,
        *,
        model_config: str,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.1,
        warmup_steps: int = 200,
        caption_weight: float = 1.0,
        prompt_weight: float = 1.0,
        superclass_weight: float = 0.3,
        label_smoothing: float = 0.0,
    ) -> None:
        """Builds the untrained model.

        Args:
            model_config: JSON file in open_clip's form.
            learning_rate: Peak of the schedule.
            weight_decay: Of AdamW.
            warmup_steps: Linear warm-up.
            caption_weight: Of the contrastive loss over the batch's captions.
            prompt_weight: Of the cross-entropy against all leaf prompts.
            superclass_weight: Of the same at each level above the leaves.
            label_smoothing: Unused share of the leaf prompts' targets, in [0, 1).
        """
        super().__init__()
        self.save_hyperparameters()
        self.model = from_config(read_config(model_config), name="pretrained")
        self._truth: Tensor | None = None

    def on_fit_start(self) -> None:
        """Reads the prompts of every level from the training set."""
        data = self.trainer.datamodule.training_set  # type: ignore[attr-defined]
        self._truth = data.truth_table().to(self.device)
        self._ancestors = [torch.tensor(ancestors, device=self.device) for ancestors in data.ancestors]
        self._tokens = [self.model.tokenize(prompts) for prompts in data.prompts]

    def on_train_epoch_start(self) -> None:
        """Lightning leaves a loaded model in evaluation mode."""
        self.model.train()

    def _encode_tokens(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.model.clip.encode_text(tokens), dim=-1)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss of a batch of captioned pictures."""
        assert self._truth is not None
        images = self.model.image_features(batch["image"])
        # Captions with one statement made wrong are negatives that differ in that word only.
        groups = [self.model.tokenize([*batch["caption"], *batch["altered_caption"]]), *self._tokens]
        captions, *prompts = self._encode_tokens(torch.cat(groups)).split([len(group) for group in groups])
        scale = self.model.logit_scale.clamp(max=MAX_LOGIT_SCALE)
        covers = self._truth[batch["node"]][:, batch["label"]].T.repeat(1, 2)
        truth = caption_truth(covers, batch["values"], torch.cat([batch["stated"], batch["altered"]]))
        contrastive = contrastive_loss(images, captions, scale, truth)
        levels = prompt_losses(images, prompts, scale, [ancestors[batch["label"]] for ancestors in self._ancestors])
        weights = self.hparams
        loss = weights["caption_weight"] * contrastive + weights["prompt_weight"] * levels[0]
        loss = loss + weights["superclass_weight"] * torch.stack(levels[1:]).sum()
        self.log_dict({"train/loss": loss, "train/captions": contrastive, "train/leaf": levels[0]}, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Zero-shot accuracy at every level."""
        images = self.model.image_features(batch["image"])
        for level, (tokens, ancestors) in enumerate(zip(self._tokens, self._ancestors, strict=True)):
            correct = (images @ self._encode_tokens(tokens).T).argmax(1) == ancestors[batch["label"]]
            self.log(f"validation/accuracy_{level}", correct.float().mean(), batch_size=len(correct), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine over the whole run."""
        total = int(self.trainer.estimated_stepping_batches)
        keys = ("learning_rate", "weight_decay", "warmup_steps")
        return adamw_with_cosine(self.model.parameters(), total_steps=total, **{key: self.hparams[key] for key in keys})
