"""Fine-tuning objectives behind one interface."""

from hrvlm.objectives.base import Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.objectives.flat import CleanObjective, TeCoAObjective
from hrvlm.objectives.hierarchical_objective import HierarchicalObjective

__all__ = [
    "Adversarial",
    "CleanObjective",
    "HierarchicalObjective",
    "ImageTextModel",
    "Objective",
    "Perturbed",
    "TeCoAObjective",
]
