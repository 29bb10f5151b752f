"""Fine-tuning objectives behind one interface."""

from hrvlm.objectives.base import Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.objectives.fare import FAREObjective
from hrvlm.objectives.flat import CleanObjective, TeCoAObjective
from hrvlm.objectives.hierarchical_objective import HierarchicalObjective
from hrvlm.objectives.noise_terms import Consistency, MaximizedRadius, NoiseTerms, noisy_loss
from hrvlm.objectives.noisy_model import NoisyModel
from hrvlm.objectives.pmg_aft import PMGAFTObjective
from hrvlm.objectives.smooth_adv import SmoothAdvObjective

__all__ = [
    "Adversarial",
    "CleanObjective",
    "Consistency",
    "FAREObjective",
    "HierarchicalObjective",
    "ImageTextModel",
    "MaximizedRadius",
    "NoiseTerms",
    "NoisyModel",
    "Objective",
    "PMGAFTObjective",
    "Perturbed",
    "SmoothAdvObjective",
    "TeCoAObjective",
    "noisy_loss",
]
