"""Certifies a fixed subset of images after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from hrvlm.callbacks.common import (
    chosen_images,
    fine_tuned,
    gather_rows,
    log_directly,
    on_device,
    progress_bar,
    results_folder,
)
from hrvlm.callbacks.evaluation import EvaluationCallback, secure_weights
from hrvlm.callbacks.figures import log_figures
from hrvlm.certificates import RecordWriter, summarise
from hrvlm.certificates.kinds.summary import scalars
from hrvlm.certificates.run.images import certify_images, count_passes
from hrvlm.certificates.run.plan import CertificationPlan
from hrvlm.data.references import TargetPictures
from hrvlm.data.sampling import shard_indices
from hrvlm.evaluation.certified_so_far import CertifiedSoFar
from hrvlm.models import HierarchicalClassifier, load
from hrvlm.rows.record import Record
from hrvlm.training.fine_tuning import RobustFineTuning

BEFORE, FINAL = "before", "final"


class CertificationCallback(EvaluationCallback):
    """Writes one row per image and statement, and logs their averages per level.

    Rows lie in `certificates/epoch=NNN/rank=R.jsonl` beside the run's metrics; loggers that take pictures (TensorBoard,
    Weights & Biases, MLflow) get the figures of `hrvlm.reports.plots` too. Noise comes by address and no random
    state is touched, so training is bit-identical with or without this callback. An epoch that was interrupted while
    certifying is certified anew, its old rows are replaced.

    Epochs meet the same noise, so that they can be compared. Each epoch's rows hold at their alpha, but not the choice
    of an epoch by these rows, which say so (`noise_shared`; else `certify.py run` with the same plan writes the same
    rows). What was chosen is certified with fresh noise: by `certify.py run` with another seed, or with `final_seed`.
    """

    kind = "certificates"

    def __init__(
        self,
        plan: CertificationPlan,
        *,
        name: str | None = None,
        split: str | None = None,
        every_n_epochs: int = 1,
        final_seed: int | None = None,
        before: bool = False,
    ) -> None:
        """Chooses images and certificates.

        Args:
            plan: Which certificates of which images.
            name: Tells it from other callbacks of this class, see `EvaluationCallback`.
            split: Split of the data module; its validation split if null.
            every_n_epochs: Certifies after epochs n, 2n, …
            final_seed: Seed, other than the plan's, of noise with which the result is certified when training has
                ended: the checkpoint chosen by what this callback logs, if a `ModelCheckpoint` monitors that, else the
                last weights. These rows lie in `certificates/final`; null for none.
            before: Whether the model that training starts from, as plain CLIP classifies, is certified too, by the same
                plan. These rows lie in `certificates/before`.

        Raises:
            ValueError: If every_n_epochs < 1, final_seed is the plan's, or the plan has a calibration.
        """
        super().__init__(name)
        if every_n_epochs < 1:
            raise ValueError(f"expected every_n_epochs >= 1, got {every_n_epochs}")
        if plan.calibration is not None:
            raise ValueError(
                f"expected a plan without calibration while training, got {plan.calibration}: it is of the weights "
                "that it was made with, which training moves; calibrate the result, then certify it with certify.py run"
            )
        if final_seed is not None and final_seed == plan.seed:
            raise ValueError(f"expected a final_seed other than the plan's seed, got {final_seed}")
        self.plan, self.split, self.every_n_epochs = plan, split, every_n_epochs
        self.final_plan = None if final_seed is None else replace(plan, seed=final_seed)
        self.before, self.noise_shared = before, False
        self.before_summary: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.final_summary: dict[str, Any] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Certifies the start, where that is wanted; a resumed run has done so already."""
        if not self.before or trainer.ckpt_path is not None:
            return
        module = fine_tuned(pl_module)
        with on_device(trainer, module):
            start = module.zero_shot_classifier()
            rows = self._certify(trainer, module, start, self.plan, BEFORE, shared=False)
        self.before_summary = summarise(rows, self.plan.radii)
        log_directly(trainer, scalars(self.before_summary, f"{self.label}/{BEFORE}"))
        log_figures(trainer, partial(_figures, rows, f"{self.label}/{BEFORE}"))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Certifies with the weights of this moment; every process takes its share of the images."""
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        secure_weights(trainer, pl_module)
        module, part = fine_tuned(pl_module), f"epoch={trainer.current_epoch:03d}"
        self.noise_shared = self._several(trainer)
        rows = self._certify(trainer, module, module.classifier(), self.plan, part, shared=self.noise_shared)
        self.summary = summarise(rows, self.plan.radii)
        pl_module.log_dict(scalars(self.summary, self.label), rank_zero_only=True)
        log_figures(trainer, partial(_figures, rows, self.label))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Certifies the result with fresh noise, where a seed for it is given."""
        if self.final_plan is None:
            return
        module = fine_tuned(pl_module)
        with on_device(trainer, module):
            rows = self._certify(trainer, module, self._chosen(trainer, module), self.final_plan, FINAL, shared=False)
        self.final_summary = summarise(rows, self.final_plan.radii)
        log_directly(trainer, scalars(self.final_summary, f"{self.label}/{FINAL}"))
        log_figures(trainer, partial(_figures, rows, f"{self.label}/{FINAL}"))

    def _several(self, trainer: Trainer) -> bool:
        """Whether more than one epoch may be certified."""
        last = trainer.max_epochs
        return last is None or last < 0 or last >= 2 * self.every_n_epochs

    def _chosen(self, trainer: Trainer, module: RobustFineTuning) -> HierarchicalClassifier:
        """The classifiers of the checkpoint that these certificates chose, or else of the last weights."""
        for checkpoint in trainer.checkpoint_callbacks:
            monitored = isinstance(checkpoint, ModelCheckpoint) and f"{checkpoint.monitor}".startswith(f"{self.label}/")
            if monitored and checkpoint.best_model_path:  # type: ignore[attr-defined]
                best = load(checkpoint.best_model_path)  # type: ignore[attr-defined]
                return HierarchicalClassifier(best.model, best.head, module.forest).to(module.device)
        return module.classifier()

    def _certify(
        self,
        trainer: Trainer,
        module: RobustFineTuning,
        classifier: HierarchicalClassifier,
        plan: CertificationPlan,
        part: str,
        *,
        shared: bool,
    ) -> list[dict[str, Any]]:
        """Rows of all processes; those of this one are written as they come."""
        data = module.datamodule().evaluation_set(self.split)
        indices = chosen_images(trainer, plan.indices(len(data)))
        shard = shard_indices(len(indices), num_replicas=trainer.world_size, rank=trainer.global_rank)
        mine = [indices[position] for position in shard]
        path = self._path(trainer, part)
        rows: list[dict[str, Any]] = []
        with RecordWriter(path) as writer, progress_bar(trainer, "certifying", count_passes(plan, len(mine))) as bar:
            steps = certify_images(
                classifier,
                data,
                mine,
                plan,
                progress=bar.advance,
                references=TargetPictures(data),
            )
            so_far = CertifiedSoFar()
            for records in steps:
                said = list(_said(records, shared))
                bar.note = so_far.told(said)
                writer.write(said)
                rows.extend(record.to_row() for record in said)
        return gather_rows(trainer, rows)

    def _path(self, trainer: Trainer, part: str) -> Path:
        """This process's file, which an interrupted run may have left."""
        path = results_folder(trainer) / self.label / part / f"rank={trainer.global_rank}.jsonl"
        path.unlink(missing_ok=True)
        return path


def _figures(rows: list[dict[str, Any]], label: str) -> dict[str, Any]:
    """Figures of certificates by the names that they are logged under."""
    from hrvlm.reports import plots

    names = plots.certificate_figures(rows)
    return {f"{label}/{name}": plots.certificate_figure(name, rows) for name in names}


def _said(records: list[Record], shared: bool) -> Iterator[Record]:
    """The records, those that rest on noise with a word on whether others met it."""
    for record in records:
        noisy = any(field.name == "noise_shared" for field in fields(record))
        yield replace(record, noise_shared=True) if noisy and shared else record  # type: ignore[call-arg]
