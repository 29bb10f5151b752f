"""Clean and attacked accuracy at every validation, to choose checkpoints by and to stop by."""

from __future__ import annotations

from dataclasses import replace

from lightning.pytorch import LightningModule, Trainer

from hrvlm.attacks import ThreatModel
from hrvlm.attacks.evaluation import RobustnessPlan
from hrvlm.attacks.names import AttackSettings
from hrvlm.attacks.perturbation import check_steps
from hrvlm.callbacks.attacked_subset import AttackedSubset, attack_subset
from hrvlm.callbacks.attacking import AttackingCallback
from hrvlm.callbacks.common import fine_tuned, results_folder


class RobustValidationCallback(AttackingCallback):
    """Attacks a fixed subset of images whenever Lightning validates, and logs accuracies that can be monitored.

    How often is the trainer's: `val_check_interval: 500` with `check_val_every_n_epoch: null` validates after every 500
    batches, whatever the length of an epoch. Logged are `robust/clean/TREE/LEVEL` and `robust/ATTACK/TREE/LEVEL`, on
    every process alike, so that `ModelCheckpoint` and `EarlyStopping` may have one of them as `monitor`, with `mode:
    max`. Rows lie in `robust/step=NNNNNNN.rank=R.jsonl` beside the run's metrics. No random state is touched: training
    is the same to the last bit with this callback and without.
    """

    kind = "robust"

    def __init__(
        self,
        *,
        name: str | None = None,
        split: str | None = None,
        num_images: int | None = 1000,
        threat_model: ThreatModel | None = None,
        steps: int = 10,
        attacks: list[str] | None = None,
        every_level: bool = False,
        batch_size: int = 128,
        settings: AttackSettings | None = None,
    ) -> None:
        """Chooses images and attacks.

        Args:
            name: Tells it from other callbacks of this class, see `EvaluationCallback`.
            split: Split of the data module; its validation split if null. What is chosen by these accuracies is
                measured on other images.
            num_images: Size of the fixed subset, spread evenly; null takes all.
            threat_model: Norm and budget of the attacks; null takes those of training.
            steps: Of PGD, where no attacks are named.
            attacks: Such as ["pgd20", "apgd-t"], see `hrvlm.attacks.adapter.attack`; PGD if null.
            every_level: Attacks every level through its own classifier; else the leaves alone.
            batch_size: Images per pass.
            settings: Effort and seed of the attacks.
        """
        super().__init__(name, threat_model)
        check_steps(steps)
        self._plan = RobustnessPlan(
            attacks=attacks or [f"pgd{steps}"],
            num_images=num_images,
            batch_size=batch_size,
            transfer=False,
            settings=settings or AttackSettings(),
        )
        self.split, self.every_level = split, every_level

    @property
    def plan(self) -> RobustnessPlan:
        """Which attacks on which images, within the budget of this moment."""
        return replace(self._plan, threat_model=self.threat_model)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attacks with the weights of this moment; every process takes its share of the images."""
        if trainer.sanity_checking:
            return
        module = fine_tuned(pl_module)
        subset = AttackedSubset(
            data=module.datamodule().evaluation_set(self.split),
            plan=self.plan,
            name=f"step={trainer.global_step:07d}",
            leaves_alone=not self.every_level,
        )
        _, shares = attack_subset(trainer, module.classifier(), subset, results_folder(trainer) / self.label)
        pl_module.log_dict({f"{self.label}/{name}": share for name, share in shares.items()})
