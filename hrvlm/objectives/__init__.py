"""Fine-tuning objectives behind one interface."""

from hrvlm.objectives.base import Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.objectives.fare import FAREObjective
from hrvlm.objectives.flat import CleanObjective, TeCoAObjective
from hrvlm.objectives.hierarchical_objective import HierarchicalObjective
from hrvlm.objectives.noisy_model import NoisyModel
from hrvlm.objectives.pmg_aft import PMGAFTObjective

__all__ = [
    "Adversarial",
    "CleanObjective",
    "FAREObjective",
    "HierarchicalObjective",
    "ImageTextModel",
    "NoisyModel",
    "Objective",
    "PMGAFTObjective",
    "Perturbed",
    "TeCoAObjective",
]
