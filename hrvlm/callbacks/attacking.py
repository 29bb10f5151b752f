"""What callbacks that attack share: a budget, training's where they have none of their own."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from hrvlm.attacks import ThreatModel
from hrvlm.callbacks.evaluation import EvaluationCallback
from hrvlm.training.fine_tuning import RobustFineTuning


class AttackingCallback(EvaluationCallback):
    """An evaluation under attack.

    Attributes:
        given: Its own norm and budget; None for those of training.
        threat_model: What it attacks within; that of training is known from `setup` on.
    """

    def __init__(self, name: str | None = None, threat_model: ThreatModel | None = None) -> None:
        """Takes a name, see `EvaluationCallback`, and a norm and budget; null for those of training.

        Raises:
            ValueError: If the threat model's bounds are not those of pixels in [0, 1].
        """
        super().__init__(name)
        self.given = None if threat_model is None else threat_model.check_unit()
        self.threat_model = self.given or ThreatModel()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """See `EvaluationCallback.setup`; takes training's budget if it has none of its own."""
        super().setup(trainer, pl_module, stage)
        self.threat_model = budget(self.given, pl_module, type(self).__name__)


def budget(given: ThreatModel | None, module: LightningModule, callback: str) -> ThreatModel:
    """What a callback attacks with: the threat model of training where it was given none of its own.

    A line says so if training defends against another budget of the same norm.

    Args:
        given: The callback's own; None for that of training, or the default of `ThreatModel` where training has no
            budget.
        module: What is trained.
        callback: The callback's class, for the line.
    """
    if not isinstance(module, RobustFineTuning):
        return ThreatModel() if given is None else given
    trained, steps = module.objective.threat_model, module.objective.ascent.steps
    if given is None:
        return trained if trained.eps else ThreatModel()
    if steps and trained.eps and trained.norm == given.norm and trained.eps != given.eps:
        rank_zero_info(
            f"{callback} attacks with eps {given.eps * 255:.3g}/255, training defends against "
            f"{trained.eps * 255:.3g}/255: leave out the callback's threat_model to have that of training"
        )
    return given
