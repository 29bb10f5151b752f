"""Training of the small captioner on the packaged emoji, with noise, so that it can be smoothed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor

from hrvlm.data.emoji_pack.captions import BACKGROUNDS, SIZES
from hrvlm.data.emoji_pack.splits import split_items
from hrvlm.generative.captioner import IGNORED, Captioner, Vocabulary
from hrvlm.generative.captioner_files import export_captioner
from hrvlm.generative.captions import PROMPTS, answer, reference_answers, sentences
from hrvlm.models import load_model
from hrvlm.old_keys import old_keys
from hrvlm.training.checks import check_weights, total_steps
from hrvlm.training.randomness import step_seed
from hrvlm.training.schedule import ConfiguredSchedule, adamw, adamw_with_cosine
from hrvlm.training.settings import FORMER_OPTIMIZER, DecoderShape, OptimizerSettings, TrainingNoise

COLOUR_JITTER = 0.08  # of an empty picture, as of the backgrounds of other pictures
OPTIMIZER = OptimizerSettings(learning_rate=1e-3, weight_decay=0.05, warmup_steps=100)
NOISE = TrainingNoise(sigma=0.25, mode="uniform", share=0.5)
FORMER = FORMER_OPTIMIZER | {"noise_share": "training_noise.share", "noise": "training_noise.sigma"}
FORMER |= {name: f"decoder.{name}" for name in ("width", "layers", "heads", "dropout")}


@old_keys(**FORMER)
class CaptionTraining(LightningModule):
    """Cross-entropy of the true answers to every prompt, about pictures with Gaussian noise.

    The data module's training set gives the looks of the pictures (see `CaptionedEmoji`). Noise leaves [0, 1], as it
    does in smoothing.
    """

    def __init__(
        self,
        *,
        model: str = "emoji",
        decoder: DecoderShape = DecoderShape(),
        optimizer: OptimizerSettings = OPTIMIZER,
        tower_learning_rate: float = 4e-4,
        training_noise: TrainingNoise = NOISE,
        empty_share: float = 0.02,
        validation_sigmas: Sequence[float] = (0.0, 0.1, 0.25),
        folder: str | None = None,
        half: bool = True,
        seed: int = 0,
    ) -> None:
        """Builds the captioner.

        Args:
            model: Whose image tower training starts from (see `hrvlm.load_model`).
            decoder: Size of the decoder, and its dropout.
            optimizer: Learning rate of the decoder, weight decay and warm-up of all.
            tower_learning_rate: Peak of the learning rate of the image tower.
            training_noise: Which pictures get noise, and how much.
            empty_share: Share of pictures in [0, 1] replaced by their background alone.
            validation_sigmas: Noise at which answers are judged in validation, in pixel units.
            folder: The captioner is exported here when training ends; None for nowhere.
            half: Whether the export stores matrices and convolutions in 16 bits.
            seed: Start of the random numbers: noise, empty pictures and dropout.
        """
        super().__init__()
        training_noise.check_plain("training_noise", "captions have not")
        values: dict[str, Any] = {"decoder": decoder, "optimizer": optimizer, "training_noise": training_noise}
        self.save_hyperparameters(ignore=list(values))
        # As plain values, for checkpoints are opened without running code of theirs.
        self.save_hyperparameters({name: asdict(value) for name, value in values.items()})
        self.optimizer_settings, self.training_noise = optimizer, training_noise
        self.tower_optimizer_settings = replace(optimizer, learning_rate=tower_learning_rate)
        self.entries, _ = split_items("train")
        self.captioner = Captioner(
            load_model(model),
            Vocabulary.of(sentences(self.entries)),
            name="emoji-captioner",
            **asdict(decoder),
        )

    def on_train_start(self) -> None:
        """Lightning leaves a loaded model in evaluation mode, also where a run goes on inside an epoch."""
        self.captioner.train()
        check_weights(self)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Mean cross-entropy of the words of the true answers to all prompts."""
        torch.manual_seed(step_seed(self.hparams["seed"], self.current_epoch, batch_idx, self.global_rank))
        images, empty = self._with_empty(batch["image"], batch["values"][:, 0])
        memory = self.captioner.image_tokens(self._noisy(images))
        answers = self.answers(batch["label"], batch["values"], empty)
        targets = self.captioner.targets(answers)
        prompts = torch.arange(len(PROMPTS), device=memory.device).repeat_interleave(len(memory))
        repeated = memory.repeat(len(PROMPTS), 1, 1)
        logits = self.captioner.decoder(repeated, prompts, targets[:, :-1].clamp(min=0))
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def _with_empty(self, images: Tensor, backgrounds: Tensor) -> tuple[Tensor, Tensor]:
        """Some pictures replaced by their background's colour, and which."""
        empty = torch.rand(len(images), device=images.device) < self.hparams["empty_share"]
        colours = torch.tensor(list(BACKGROUNDS.values()), device=images.device)[backgrounds]
        colours = (colours + COLOUR_JITTER * (2 * torch.rand_like(colours) - 1)).clamp(0, 1)
        return torch.where(empty[:, None, None, None], colours[:, :, None, None], images), empty

    def _noisy(self, images: Tensor) -> Tensor:
        """Adds noise to some of the pictures; nothing is clipped."""
        size = (len(images), 1, 1, 1)
        noisy = torch.rand(size, device=images.device) < self.training_noise.share
        strength = torch.rand(size, device=images.device) if self.training_noise.mode == "uniform" else 1.0
        sigma = strength * self.training_noise.sigma * noisy
        return images + sigma * torch.randn_like(images)

    def answers(self, labels: Tensor, values: Tensor, empty: Tensor) -> list[str]:
        """True answers, all pictures for one prompt after another.

        Args:
            labels: Classes (N,).
            values: Attribute values (N, 5) of the looks.
            empty: Which pictures are empty (N,).
        """
        backgrounds = list(BACKGROUNDS)
        rows = list(zip(labels.tolist(), values.tolist(), empty.tolist(), strict=True))
        return [
            answer(
                None if is_empty else self.entries[label],
                prompt,
                background=backgrounds[background],
                size="" if is_empty else SIZES[size],
            )
            for prompt in PROMPTS
            for label, (background, size, *_), is_empty in rows
        ]

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Share of exactly true answers to every prompt, clean and under noise that is the same in every epoch."""
        generator = torch.Generator(self.device).manual_seed(step_seed(self.hparams["seed"], 0, batch_idx, 0))
        images, chosen = batch["image"], self.captioner.prompt
        try:
            for sigma in self.hparams["validation_sigmas"]:
                noise = torch.randn(images.shape, generator=generator, device=self.device)
                for prompt in PROMPTS:
                    self.captioner.prompt = prompt
                    found = self.captioner.generate(images + sigma * noise)
                    true = [reference_answers(self.entries[label].name, prompt) for label in batch["label"].tolist()]
                    correct = [text in texts for text, texts in zip(found, true, strict=True)]
                    share = sum(correct) / len(correct)
                    name = f"validation/{prompt}_{sigma:g}"
                    self.log(name, share, batch_size=len(correct), sync_dist=True)
        finally:
            self.captioner.prompt = chosen

    def on_fit_end(self) -> None:
        """Exports the captioner on the first process."""
        trial = self.trainer.fast_dev_run  # type: ignore[attr-defined]
        if self.hparams["folder"] is not None and self.trainer.is_global_zero and not trial:
            export_captioner(self.captioner, self.hparams["folder"], half=self.hparams["half"])

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up and cosine over the whole run; the image tower at a rate of its own."""
        total = total_steps(self.trainer)
        tower = list(self.captioner.image_tokens.tower.parameters())
        known = set(map(id, tower))
        others = [parameter for parameter in self.captioner.parameters() if id(parameter) not in known]
        parts = [
            adamw_with_cosine(others, total_steps=total, **asdict(self.optimizer_settings)),
            adamw_with_cosine(tower, total_steps=total, **asdict(self.tower_optimizer_settings)),
        ]
        groups = [
            {"params": group["params"], "lr": group["initial_lr"], "weight_decay": group["weight_decay"]}
            for part in parts
            for group in part["optimizer"].param_groups
        ]
        optimizer = adamw(groups)
        factor = parts[0]["lr_scheduler"]["scheduler"].lr_lambdas[0]
        scheduler = ConfiguredSchedule(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
