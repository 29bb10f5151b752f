"""Attacks on a fixed subset of a split while a run is trained, on all its processes, with a file of rows of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from hrvlm.attacks.evaluation import RobustnessPlan, count_attacks, evaluate_robustness
from hrvlm.attacks.metrics import RobustAccuracy
from hrvlm.callbacks.common import chosen_images, gather_rows, progress_bar
from hrvlm.data.sampling import shard_indices
from hrvlm.models import HierarchicalClassifier

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AttackedSubset:
    """What is attacked of a data set, and how.

    Attributes:
        data: Map-style data set of (image in [0, 1], leaf label).
        plan: Which attacks on which images.
        name: First part of the names of the files of rows.
        stage: For the rows.
        leaves_alone: Attacks the leaves only; else every level.
    """

    data: Any
    plan: RobustnessPlan
    name: str
    stage: str | None = None
    leaves_alone: bool = False


def attack_subset(
    trainer: Trainer, classifier: HierarchicalClassifier, subset: AttackedSubset, folder: Path
) -> tuple[list[Row], dict[str, float]]:
    """Rows and accuracies of all processes, on every process; each attacks its share of the images.

    Args:
        trainer: Of the run; all processes call this.
        classifier: What is attacked.
        subset: Which images, which attacks.
        folder: Where each process writes its rows, as they come, to `NAME.rank=R.jsonl`.

    Returns:
        All rows, and accuracies by name, see `hrvlm.attacks.metrics.cell_name`.
    """
    plan, name = subset.plan, subset.name
    chosen = chosen_images(trainer, plan.indices(len(subset.data)))
    shard = shard_indices(len(chosen), num_replicas=trainer.world_size, rank=trainer.global_rank)
    mine = [chosen[position] for position in shard]
    levels = classifier.keys[:1] if subset.leaves_alone else classifier.keys
    metric = _metric(classifier, plan)
    path = folder / f"{name}.rank={trainer.global_rank}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    total = count_attacks(classifier, len(mine), plan, levels)
    with (
        path.open("w", encoding="utf-8") as file,
        progress_bar(trainer, f"{', '.join(plan.attacks)} {name}", total) as bar,
    ):
        for records in evaluate_robustness(
            classifier,
            subset.data,
            mine,
            plan,
            stage=subset.stage,
            levels=levels,
            progress=bar.advance,
        ):
            part = [record.to_row() for record in records]
            file.write("".join(json.dumps(row) + "\n" for row in part))
            file.flush()
            metric.update(records)
            rows.extend(part)
    shares = {name: float(share) for name, share in metric.compute().items()}
    return gather_rows(trainer, rows), shares


def _metric(classifier: HierarchicalClassifier, plan: RobustnessPlan) -> RobustAccuracy:
    levels = [(classifier.forest[key.tree].name, key.level) for key in classifier.keys]
    metric = RobustAccuracy(plan.attacks, levels).to(classifier.text_points(classifier.keys[0]).device)
    metric.update([])  # a process without images has counted too, as torchmetrics sees it
    return metric
