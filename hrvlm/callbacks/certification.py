"""Certifies a fixed subset of images after each epoch."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from hrvlm.callbacks.common import fine_tuned, gather_rows, progress_bar, results_folder
from hrvlm.certificates import RecordWriter, summarise
from hrvlm.certificates.images import CertificationPlan, certify_images, count_passes
from hrvlm.data.references import TargetPictures
from hrvlm.data.sampling import shard_indices


class CertificationCallback(Callback):
    """Writes one row per image and statement, and logs their averages per level.

    Rows lie in `certificates/epoch=NNN/rank=R.jsonl` beside the run's metrics. Noise comes by address and no random
    state is touched, so training is bit-identical with or without this callback; `certify.py run` with the same plan
    writes the same rows. An epoch that was interrupted while certifying is certified anew, its old rows are replaced.
    """

    def __init__(self, plan: CertificationPlan, *, split: str | None = None, every_n_epochs: int = 1) -> None:
        """Chooses images and certificates.

        Args:
            plan: Which certificates of which images.
            split: Split of the data module; its validation split if null.
            every_n_epochs: Certifies after epochs n, 2n, …
        """
        if every_n_epochs < 1:
            raise ValueError(f"expected every_n_epochs >= 1, got {every_n_epochs}")
        self.plan, self.split, self.every_n_epochs = plan, split, every_n_epochs
        self.summary: dict[str, Any] = {}

    @property
    def state_key(self) -> str:
        """Tells several certifications apart in a checkpoint."""
        return f"CertificationCallback[split={self.split},sigma={self.plan.sigma},seed={self.plan.seed}]"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Certifies with the weights of this moment; every process takes its share of the images."""
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        module = fine_tuned(pl_module)
        data = module.datamodule().evaluation_set(self.split)
        indices = self.plan.indices(len(data))
        shard = shard_indices(len(indices), num_replicas=trainer.world_size, rank=trainer.global_rank)
        mine = [indices[position] for position in shard]
        folder = results_folder(trainer) / "certificates" / f"epoch={trainer.current_epoch:03d}"
        path = folder / f"rank={trainer.global_rank}.jsonl"
        path.unlink(missing_ok=True)
        rows: list[dict[str, Any]] = []
        with (
            RecordWriter(path) as writer,
            progress_bar(trainer, "certifying", count_passes(self.plan, len(mine))) as bar,
        ):
            steps = certify_images(
                module.classifier(),
                data,
                mine,
                self.plan,
                progress=lambda images: bar.advance(bar.task_ids[0], images),
                references=TargetPictures(data),
            )
            for records in steps:
                writer.write(records)
                rows.extend(record.to_row() for record in records)
        self.summary = summarise(gather_rows(trainer, rows), self.plan.radii)
        pl_module.log_dict(flatten_summary(self.summary), rank_zero_only=True)


def flatten_summary(summary: dict[str, Any]) -> dict[str, float]:
    """The numbers to log, named "certificates/…/tree/level/…"."""
    flat: dict[str, float] = {}
    for tree, levels in summary["smoothing"].items():
        for level, numbers in levels.items():
            start = f"certificates/smoothing/{tree}/{level}"
            flat[f"{start}/average_certified_radius"] = numbers["average_certified_radius"]
            for radius, share in numbers["certified_accuracy"].items():
                flat[f"{start}/certified_accuracy_at_{radius}"] = share
    for tree, levels in summary["semantic"].items():
        for level, attributes in levels.items():
            for attribute, scorers in attributes.items():
                for scorer, kinds in scorers.items():
                    name = f"certificates/semantic/{tree}/{level}/{attribute}/{scorer}/invariance"
                    flat[name] = kinds["text"]["mean_invariance"]
    return flat | _flat_joint(summary.get("joint", {}))


def _flat_joint(joint: dict[str, Any]) -> dict[str, float]:
    """The numbers of joint certificates to log."""
    groups = {
        f"certificates/joint/{tree}/{level}/{attribute}/{scorer}": numbers
        for tree, levels in joint.items()
        for level, attributes in levels.items()
        for attribute, scorers in attributes.items()
        for scorer, numbers in scorers.items()
    }
    kinds = (("at_radii", "mean_extent"), ("at_extents", "mean_radius"))
    return {
        f"{start}/{mean}_at_{asked}": found[mean]
        for start, numbers in groups.items()
        for part, mean in kinds
        for asked, found in numbers[part].items()
    }
