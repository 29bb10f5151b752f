"""Fine-tuning for benchmarks/training.py, and the classifiers that come of it."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer, seed_everything
from training_methods import BATCH_SIZE, FOREST, ONE_TREE, Method, Sizes

import hrvlm
from hrvlm.data.emoji_pack.datamodule import EmojiDataModule
from hrvlm.models import HierarchicalClassifier, cosine_head, inference_copy, load
from hrvlm.training.fine_tuning import RobustFineTuning
from hrvlm.training.settings import OptimizerSettings, TrainingNoise

TUNING_SEED = 1000


def fine_tune(method: Method, seed: int, learning_rate: float, sizes: Sizes, path: Path) -> dict[str, Any]:
    """Writes the checkpoint of a fine-tuned model; returns its epochs and processor seconds, for the results.

    Raises:
        NonFiniteLossError: If the learning rate is too large for the method.
    """
    seed_everything(seed, verbose=False)
    noise = None
    if method.noise:
        noise = TrainingNoise(sigma=method.noise, copies=method.copies, consistency=method.consistency)
    module = RobustFineTuning(
        objective=method.objective(),
        trees=method.trees,
        trained=method.trained,
        optimizer=OptimizerSettings(learning_rate=learning_rate, warmup_steps=10),
        noise=noise,
        seed=seed,
    )
    epochs = min(method.epochs, sizes.epochs)
    trainer = Trainer(
        max_epochs=epochs,
        limit_train_batches=sizes.batches,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        inference_mode=False,
    )
    captions = FOREST if method.captioned else ()
    data = EmojiDataModule(batch_size=BATCH_SIZE, seed=seed, plain_share=0.5, caption_trees=captions)
    start = time.process_time()
    trainer.fit(module, datamodule=data)
    seconds = time.process_time() - start  # other programs, and a pause, do not count
    trainer.save_checkpoint(path, weights_only=True)
    return {"epochs": epochs, "seconds": seconds, "seconds_per_epoch": seconds / epochs}


class Subject:
    """A model that is measured, by its checkpoint; None is the packaged model as plain CLIP classifies."""

    def __init__(self, path: Path | None) -> None:
        found = None if path is None else load(path)
        self.model = hrvlm.load_model("emoji") if found is None else found.model
        self.head = cosine_head(self.model) if found is None else found.head
        self._on: dict[str, tuple[HierarchicalClassifier, Any]] = {}

    def on(self, split: str) -> tuple[HierarchicalClassifier, Any]:
        """Its classifiers of leaves and Unicode levels, rewritten for inference, and the pictures of a split."""
        if split not in self._on:
            data = hrvlm.data.emoji(split)
            forest = hrvlm.load_forest(ONE_TREE).restrict(data.class_names)
            self._on[split] = inference_copy(HierarchicalClassifier(self.model, self.head, forest)), data
        return self._on[split]


@lru_cache(maxsize=1)
def subject(path: Path | None) -> Subject:
    """The model of a checkpoint that stays as it is; the last one is kept, as several parts measure it in turn."""
    return Subject(path)
