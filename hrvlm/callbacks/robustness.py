"""Clean and PGD accuracy at every level, before and after training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from hrvlm.attacks import ThreatModel
from hrvlm.attacks.evaluation import attacked_predictions
from hrvlm.attacks.threat_model import Norm
from hrvlm.callbacks.common import fine_tuned, gather_rows, progress_bar, results_folder
from hrvlm.data.base import images_and_labels
from hrvlm.data.sampling import shard_indices
from hrvlm.models import HierarchicalClassifier, LevelKey

BEFORE, AFTER = "before", "after"


class RobustnessCallback(Callback):
    """Writes one row per image, level and attack to `robustness/STAGE.rank=R.jsonl` beside the run's metrics.

    "before" is the model that training starts from, as plain CLIP classifies (cosines with its own scale); "after" is
    the fine-tuned model with its head. Each level is attacked through its own classifier.
    """

    def __init__(
        self,
        *,
        split: str | None = None,
        num_images: int | None = None,
        norm: Norm = "linf",
        eps: float = 1.0 / 255.0,
        steps: int = 20,
        batch_size: int = 128,
        before: bool = True,
    ) -> None:
        """Chooses images and attack.

        Args:
            split: Split of the data module; its validation split if null.
            num_images: Size of the fixed subset, spread evenly; null takes all.
            norm: "linf" or "l2".
            eps: Budget in pixel units.
            steps: Of PGD.
            batch_size: Images per pass.
            before: Whether the model that training starts from is evaluated too.
        """
        self.threat_model = ThreatModel(norm, eps)
        if steps < 1 or batch_size < 1 or (num_images is not None and num_images < 1):
            raise ValueError(f"expected steps, batch_size and num_images >= 1, got {steps}, {batch_size}, {num_images}")
        self.split, self.num_images, self.steps, self.batch_size = split, num_images, steps, batch_size
        self.before = before
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates the start; a resumed run has done so already."""
        if self.before and trainer.ckpt_path is None:
            self._evaluate(trainer, pl_module, BEFORE)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates the result."""
        self._evaluate(trainer, pl_module, AFTER)

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        module = fine_tuned(pl_module)
        classifier = module.zero_shot_classifier() if stage == BEFORE else module.classifier()
        data = module.datamodule().evaluation_set(self.split)
        count = len(data) if self.num_images is None else min(self.num_images, len(data))
        chosen = [position * len(data) // count for position in range(count)]
        mine = [chosen[i] for i in shard_indices(count, num_replicas=trainer.world_size, rank=trainer.global_rank)]
        path = results_folder(trainer) / "robustness" / f"{stage}.rank={trainer.global_rank}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, Any]] = []
        total = len(mine) * len(classifier.keys)
        with path.open("w", encoding="utf-8") as file, progress_bar(trainer, f"PGD-{self.steps} {stage}", total) as bar:
            for part in self._rows(classifier, data, mine, stage):
                file.write("".join(json.dumps(row) + "\n" for row in part))
                file.flush()
                rows.extend(part)
                bar.advance(bar.task_ids[0], len(part) // 2)
        self.rows[stage] = gather_rows(trainer, rows)

    def _rows(
        self, classifier: HierarchicalClassifier, data: Any, indices: list[int], stage: str
    ) -> Iterator[list[dict[str, Any]]]:
        device = classifier.text_points(classifier.keys[0]).device
        for start in range(0, len(indices), self.batch_size):
            part = indices[start : start + self.batch_size]
            images, labels = (tensor.to(device) for tensor in images_and_labels(data, part))
            with torch.no_grad():
                clean = classifier.predict(images)
            for key in classifier.keys:
                attacked = attacked_predictions(classifier, images, labels, key, self.threat_model, steps=self.steps)
                outcomes = {"clean": clean[key], f"pgd{self.steps}": attacked}
                targets = classifier.target(labels, key).tolist()
                yield [
                    self._row(classifier, key, stage, attack, index, target, prediction)
                    for attack, predictions in outcomes.items()
                    for index, target, prediction in zip(part, targets, predictions.tolist(), strict=True)
                ]

    def _row(
        self,
        classifier: HierarchicalClassifier,
        key: LevelKey,
        stage: str,
        attack: str,
        index: int,
        label: int,
        prediction: int,
    ) -> dict[str, Any]:
        tree = classifier.forest[key.tree]
        return {
            "kind": "robustness",
            "stage": stage,
            "index": index,
            "tree": tree.name,
            "level": key.level,
            "level_name": tree.levels[key.level].name,
            "num_classes": len(tree.levels[key.level].ids),
            "attack": attack,
            "norm": self.threat_model.norm,
            "eps": self.threat_model.eps,
            "label": label,
            "prediction": prediction,
            "correct": label == prediction,
        }
