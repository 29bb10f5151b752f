"""Norms of images and texts and margins between classes at every level, clean and under attack, after each epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from hrvlm.attacks import ThreatModel, pgd
from hrvlm.attacks.perturbation import check_steps
from hrvlm.callbacks.attacking import AttackingCallback
from hrvlm.callbacks.common import (
    chosen_images,
    fine_tuned,
    gather_rows,
    progress_bar,
    results_folder,
)
from hrvlm.callbacks.evaluation import secure_weights
from hrvlm.data.items import images_and_labels
from hrvlm.data.sampling import evenly_spread, shard_indices
from hrvlm.evaluation.level_geometry import GEOMETRY, summarise_geometry
from hrvlm.models import HierarchicalClassifier, LevelKey, inferring
from hrvlm.objectives.level_geometry import level_geometry
from hrvlm.old_keys import old_keys
from hrvlm.whole_files import write_whole

CLEAN = "clean"


@old_keys(norm="threat_model.norm", eps="threat_model.eps")
class GeometryCallback(AttackingCallback):
    """Writes one row per point to `geometry/epoch=NNN.jsonl` beside the run's metrics, and logs their means.

    A row says of what it is ("of": "image", "group" for an average of images above the leaves, "text"), and gives
    "point_norm", "attainable_margin" (the largest at that norm) and, but for texts, "margin" (score of the true node
    less the best other). What is logged per level, as `geometry/LEVEL/…`, are means: "text_norm" and
    "text_attainable_margin" over all nodes of the level; under "clean" and the attack's name "norm",
    "attainable_margin" and "margin" over the level's points (images at the leaves, groups above), and "image_margin"
    over the single images.

    Each level is attacked by PGD through its own classifier, from the clean images. No random state is touched.
    """

    kind = GEOMETRY

    def __init__(
        self,
        *,
        name: str | None = None,
        split: str | None = None,
        num_images: int | None = 64,
        threat_model: ThreatModel | None = None,
        steps: int = 10,
        batch_size: int = 128,
        every_n_epochs: int = 1,
    ) -> None:
        """Chooses images and attack.

        Args:
            name: Tells it from other callbacks of this class, see `EvaluationCallback`.
            split: Split of the data module; its validation split if null.
            num_images: Size of the fixed subset, spread evenly; null takes all.
            threat_model: Norm and budget of the attack; null takes those of training.
            steps: Of PGD.
            batch_size: Images per pass.
            every_n_epochs: Looks after epochs n, 2n, …
        """
        super().__init__(name, threat_model)
        check_steps(steps)
        for setting, value in (("batch_size", batch_size), ("every_n_epochs", every_n_epochs)):
            if value < 1:
                raise ValueError(f"expected {setting} >= 1, got {value}")
        self.split, self.num_images, self.steps, self.batch_size = split, num_images, steps, batch_size
        self.every_n_epochs = every_n_epochs
        self.rows: list[dict[str, Any]] = []

    @property
    def attack(self) -> str:
        """Name of the attack in rows."""
        return f"pgd{self.steps}"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at the weights of this moment; every process attacks its share of the images."""
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        secure_weights(trainer, pl_module)
        module = fine_tuned(pl_module)
        data, classifier = module.datamodule().evaluation_set(self.split), module.classifier()
        chosen = chosen_images(trainer, evenly_spread(len(data), self.num_images))
        mine = shard_indices(len(chosen), num_replicas=trainer.world_size, rank=trainer.global_rank)
        with inferring(classifier):
            samples = self._samples(trainer, classifier, data, [chosen[position] for position in mine])
            # Averages span the images of all processes, so each needs the points of all.
            everyone = sorted(gather_rows(trainer, samples), key=lambda sample: int(sample["index"]))
            self.rows = [{"epoch": trainer.current_epoch, **row} for row in self._rows(classifier, everyone)]
        folder = results_folder(trainer)  # which the processes agree on together
        if trainer.is_global_zero:
            path = folder / self.label / f"epoch={trainer.current_epoch:03d}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, "".join(json.dumps(row) + "\n" for row in self.rows))
        pl_module.log_dict(summarise_geometry(self.rows, self.label), rank_zero_only=True)

    def _samples(
        self, trainer: Trainer, classifier: HierarchicalClassifier, data: Any, indices: list[int]
    ) -> list[dict[str, Any]]:
        """Per image its index, label, clean point, and the point that the attack on each level leads to."""
        device = classifier.text_points(classifier.keys[0]).device
        samples: list[dict[str, Any]] = []
        with progress_bar(trainer, "geometry", len(indices) * len(classifier.keys)) as bar:
            for start in range(0, len(indices), self.batch_size):
                part = indices[start : start + self.batch_size]
                images, labels = (tensor.to(device) for tensor in images_and_labels(data, part))
                points: dict[LevelKey | None, Tensor] = {None: classifier.image_points(images).cpu()}
                for key in classifier.keys:
                    attacked = pgd(
                        partial(classifier.logits, key=key),
                        images,
                        classifier.target(labels, key),
                        self.threat_model,
                        self.steps,
                    )
                    points[key] = classifier.image_points(attacked).cpu()
                    bar.advance(len(part))
                for row, index in enumerate(part):
                    own = {key: values[row] for key, values in points.items()}
                    samples.append({"index": index, "label": int(labels[row]), "points": own})
        return samples

    def _rows(self, classifier: HierarchicalClassifier, samples: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        indices = [sample["index"] for sample in samples]
        device = classifier.text_points(classifier.keys[0]).device
        labels = torch.tensor([sample["label"] for sample in samples], device=device)
        for key in classifier.keys:
            for attack, source in ((CLEAN, None), (self.attack, key)):
                points = torch.stack([sample["points"][source] for sample in samples]).to(device)
                yield from self._level_rows(classifier, key, attack, points, labels, indices)

    def _level_rows(
        self,
        classifier: HierarchicalClassifier,
        key: LevelKey,
        attack: str,
        points: Tensor,
        labels: Tensor,
        indices: list[int],
    ) -> Iterator[dict[str, Any]]:
        tree = classifier.forest[key.tree]
        found = level_geometry(classifier.head, tree, key.level, points, classifier.text_points(key), labels)
        place = {"kind": GEOMETRY, "tree": tree.name, "level": key.level, "level_name": tree.levels[key.level].name}
        budget = {"norm": self.threat_model.norm, "eps": self.threat_model.eps} if attack != CLEAN else {}
        ids, targets = tree.levels[key.level].ids, classifier.target(labels, key).tolist()
        images = zip(found.image_norms.tolist(), found.image_limits.tolist(), found.image_margins.tolist(), strict=True)
        for index, node, numbers in zip(indices, targets, images, strict=True):
            yield place | _row("image", ids[node], numbers) | {"index": index, "attack": attack, **budget}
        if key.level > 0:
            groups = zip(found.norms.tolist(), found.limits.tolist(), found.margins.tolist(), strict=True)
            for node, numbers in zip(found.nodes.tolist(), groups, strict=True):
                yield place | _row("group", ids[node], numbers) | {"attack": attack, **budget}
        if attack == CLEAN:
            texts = zip(found.text_norms.tolist(), found.text_limits.tolist(), strict=True)
            yield from (place | _row("text", node, pair) for node, pair in zip(ids, texts, strict=True))


def _row(kind: str, node: str, numbers: tuple[float, ...]) -> dict[str, Any]:
    return {"of": kind, "node": node} | dict(zip(("point_norm", "attainable_margin", "margin"), numbers, strict=False))
