"""Clean and attacked accuracy at every level, before and after training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from hrvlm.attacks import ThreatModel
from hrvlm.attacks.evaluation import RobustnessPlan
from hrvlm.attacks.names import AttackSettings
from hrvlm.attacks.perturbation import check_steps
from hrvlm.attacks.records import CLEAN
from hrvlm.callbacks.attacked_subset import AttackedSubset, attack_subset
from hrvlm.callbacks.attacking import AttackingCallback
from hrvlm.callbacks.common import fine_tuned, log_directly, on_device, results_folder
from hrvlm.callbacks.figures import log_figures
from hrvlm.old_keys import old_keys

BEFORE, AFTER = "before", "after"


@old_keys(norm="threat_model.norm", eps="threat_model.eps")
class RobustnessCallback(AttackingCallback):
    """Writes rows to `robustness/STAGE.rank=R.jsonl` beside the run's metrics, and logs their averages.

    "before" is the model that training starts from, as plain CLIP classifies (cosines with its own scale); "after" is
    the fine-tuned model with its head. Each level is attacked through its own classifier, and each attack is judged at
    every level (the transfer matrix). Rows are those of `hrvlm.attacks.records.RobustnessRecord`.
    """

    kind = "robustness"

    def __init__(
        self,
        *,
        name: str | None = None,
        split: str | None = None,
        num_images: int | None = None,
        threat_model: ThreatModel | None = None,
        steps: int = 20,
        attacks: list[str] | None = None,
        transfer: bool = True,
        batch_size: int = 128,
        settings: AttackSettings | None = None,
        before: bool = True,
    ) -> None:
        """Chooses images and attacks.

        Args:
            name: Tells it from other callbacks of this class, see `EvaluationCallback`.
            split: Split of the data module; its validation split if null.
            num_images: Size of the fixed subset, spread evenly; null takes all.
            threat_model: Norm and budget of the attacks; null takes those of training.
            steps: Of PGD, where no attacks are named.
            attacks: Such as ["pgd20", "cw", "autoattack"], see `hrvlm.attacks.adapter.attack`; PGD if null.
            transfer: Whether attacks are judged at every level, not only at the one they were aimed at.
            batch_size: Images per pass.
            settings: Effort and seed of the attacks.
            before: Whether the model that training starts from is evaluated too.
        """
        super().__init__(name, threat_model)
        check_steps(steps)
        self._plan = RobustnessPlan(
            attacks=attacks or [f"pgd{steps}"],
            num_images=num_images,
            batch_size=batch_size,
            transfer=transfer,
            settings=settings or AttackSettings(),
        )
        self.split, self.before = split, before
        self.rows: dict[str, list[dict[str, Any]]] = {}

    @property
    def plan(self) -> RobustnessPlan:
        """Which attacks on which images, within the budget of this moment."""
        return replace(self._plan, threat_model=self.threat_model)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates the start; a resumed run has done so already."""
        if self.before and trainer.ckpt_path is None:
            self._evaluate(trainer, pl_module, BEFORE)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluates the result."""
        self._evaluate(trainer, pl_module, AFTER)

    def _evaluate(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        module = fine_tuned(pl_module)
        with on_device(trainer, module):
            classifier = module.zero_shot_classifier() if stage == BEFORE else module.classifier()
            data = module.datamodule().evaluation_set(self.split)
            subset = AttackedSubset(data=data, plan=self.plan, name=stage, stage=stage)
            self.rows[stage], shares = attack_subset(trainer, classifier, subset, results_folder(trainer) / self.label)
            log_directly(trainer, {f"{self.label}/{stage}/{name}": share for name, share in shares.items()})
        log_figures(trainer, partial(self._figures, stage))

    def _figures(self, stage: str) -> dict[str, Any]:
        """Heat maps of how the attacks transfer, by the names that they are logged under."""
        from hrvlm.reports import plots

        rows = self.rows[stage]
        attacks = dict.fromkeys(row["attack"] for row in rows if row["attack"] != CLEAN)
        return {f"{self.label}/{stage}/transfer_{name}": plots.transfer_matrix(rows, name) for name in attacks}
