"""Clean and PGD accuracy on data sets that training never saw."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from hrvlm.attacks import ThreatModel
from hrvlm.attacks.perturbation import check_steps
from hrvlm.callbacks.attacking import AttackingCallback
from hrvlm.callbacks.common import chosen_images, fine_tuned, gather_rows, progress_bar, results_folder
from hrvlm.callbacks.evaluation import secure_weights
from hrvlm.data import zero_shot
from hrvlm.data.sampling import evenly_spread, shard_indices
from hrvlm.evaluation.zero_shot.predictions import Effort, count_passes, evaluate_zero_shot
from hrvlm.evaluation.zero_shot.records import HeadName, ZeroShotRecord
from hrvlm.models import cosine_head
from hrvlm.models.zero_shot import ZeroShotClassifier
from hrvlm.old_keys import old_keys
from hrvlm.training.fine_tuning import RobustFineTuning
from hrvlm.whole_files import write_whole

Row = dict[str, Any]
AFTER = "after"
FORMER = {"norm": "threat_model.norm", "eps": "threat_model.eps"}
FORMER |= {name: f"data.{name}" for name in ("root", "sets", "num_images", "image_size")}


@old_keys(**FORMER)
class ZeroShotCallback(AttackingCallback):
    """Writes one row per image and attack, and their averages per data set.

    Rows lie in `zero_shot/STAGE.rank=R.jsonl` beside the run's metrics and averages in `zero_shot/STAGE.json`; STAGE is
    "after" for the end of training, else "epoch=NNN". Class names and templates are those of `hrvlm.data.zero_shot`.
    Every process takes its share of the images, and no random state is touched.
    """

    kind = "zero_shot"

    def __init__(
        self,
        *,
        name: str | None = None,
        data: zero_shot.ChosenSets,
        trained_head: bool = True,
        threat_model: ThreatModel | None = None,
        steps: int = 20,
        batch_size: int = 128,
        num_workers: int = 0,
        every_n_epochs: int | None = None,
    ) -> None:
        """Chooses data sets and attack.

        Args:
            name: Tells it from other callbacks of this class, see `EvaluationCallback`.
            data: Which sets, and how many pictures of what size.
            trained_head: Classifies with the trained head (in its geometry); false takes plain cosines, as a user of
                the exported model does.
            threat_model: Norm and budget of PGD; null takes those of training.
            steps: Of PGD, from the clean image, with step size 2.5·eps/steps.
            batch_size: Images per pass.
            num_workers: Processes that load pictures ahead; 0 loads them in this one.
            every_n_epochs: Evaluates after epochs n, 2n, … too; null only when training ends.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__(name, threat_model)
        self.chosen = data
        check_steps(steps)
        if every_n_epochs is not None and every_n_epochs < 1:
            raise ValueError(f"expected every_n_epochs >= 1, got {every_n_epochs}")
        if batch_size < 1 or num_workers < 0:
            raise ValueError(f"expected batch_size >= 1 and num_workers >= 0, got {batch_size} and {num_workers}")
        self.trained_head, self.every_n_epochs = trained_head, every_n_epochs
        self._effort = Effort(
            attacks=[f"pgd{steps}"], threat_models=[self.threat_model], batch_size=batch_size, num_workers=num_workers
        )
        self.data: list[zero_shot.ZeroShotDataset] = []
        self.summaries: dict[str, dict[str, dict[str, float]]] = {}
        self._evaluated_step = -1

    @property
    def effort(self) -> Effort:
        """What is tried on every image, within the budget of this moment."""
        return replace(self._effort, threat_models=[self.threat_model])

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """See `AttackingCallback.setup`; opens every set, before anything is trained.

        Raises:
            ValueError: If sets are missing or not readable; the message names all that are missing.
        """
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        fine_tuned(pl_module)
        self.data = self.chosen.load()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates and logs, every n epochs."""
        if self.every_n_epochs is None or (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        secure_weights(trainer, pl_module)
        summary = self._evaluate(trainer, fine_tuned(pl_module), f"epoch={trainer.current_epoch:03d}")
        flat = {
            f"{self.label}/{name}/{attack}": share for name, row in summary.items() for attack, share in row.items()
        }
        pl_module.log_dict(flat, rank_zero_only=True)
        self._evaluated_step = trainer.global_step

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates the result, unless the last epoch's evaluation was of the same weights."""
        if trainer.global_step != self._evaluated_step:
            self._evaluate(trainer, fine_tuned(pl_module), AFTER)

    def _evaluate(self, trainer: Trainer, module: RobustFineTuning, stage: str) -> dict[str, dict[str, float]]:
        folder = results_folder(trainer) / self.label
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[Row] = []
        path = folder / f"{stage}.rank={trainer.global_rank}.jsonl"
        shares = [self._share(trainer, len(data)) for data in self.data]
        total = sum(count_passes(len(share), self.effort) for share in shares)
        with path.open("w", encoding="utf-8") as file, progress_bar(trainer, "zero-shot", total) as bar:
            for data, mine in zip(self.data, shares, strict=True):
                for part in self._rows(module, data, mine):
                    file.write("".join(json.dumps({"stage": stage} | row) + "\n" for row in part))
                    file.flush()
                    rows.extend(part)
                    bar.advance(len(part))
        summary = summarise(gather_rows(trainer, rows))
        if trainer.is_global_zero:
            write_whole(folder / f"{stage}.json", json.dumps(summary, indent=1) + "\n")
        self.summaries[stage] = summary
        return summary

    def _share(self, trainer: Trainer, size: int) -> list[int]:
        """Indices of the subset that this process evaluates."""
        chosen = chosen_images(trainer, evenly_spread(size, self.chosen.num_images))
        mine = shard_indices(len(chosen), num_replicas=trainer.world_size, rank=trainer.global_rank)
        return [chosen[position] for position in mine]

    def _rows(
        self, module: RobustFineTuning, data: zero_shot.ZeroShotDataset, indices: list[int]
    ) -> Iterator[list[Row]]:
        head = module.objective.head if self.trained_head else cosine_head(module.model).to(module.device)
        classifier = ZeroShotClassifier(module.model, head, data.class_names, data.templates)
        name: HeadName = "trained" if self.trained_head else "cosine"
        classes = len(data.class_names)
        for records in evaluate_zero_shot(classifier, data, indices, self.effort, num_classes=classes, head=name):
            yield [self._row(record) for record in records]

    def _row(self, record: ZeroShotRecord) -> Row:
        """A row as files of training have it: clean images, too, with the budget that others are attacked with."""
        return {"kind": record.kind, **asdict(replace(record, eps=self.threat_model.eps))}


def summarise(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Accuracy in [0, 1] per data set and attack, and over the sets with equal weights ("mean").

    Args:
        rows: As `ZeroShotCallback` writes them, of all processes.
    """
    found: dict[str, dict[str, list[bool]]] = {}
    for row in rows:
        found.setdefault(row["data"], {}).setdefault(row["attack"], []).append(row["correct"])
    summary = {
        name: {attack: sum(correct) / len(correct) for attack, correct in attacks.items()}
        for name, attacks in found.items()
    }
    attacks = next(iter(summary.values()), {})
    mean = {attack: sum(shares[attack] for shares in summary.values()) / len(summary) for attack in attacks}
    return summary | ({"mean": mean} if summary else {})
