"""Fine-tuning objectives behind one interface."""

from hrvlm.objectives.agft import AGFTObjective
from hrvlm.objectives.base import Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.objectives.fare import FAREObjective
from hrvlm.objectives.flat import CleanObjective, TeCoAObjective
from hrvlm.objectives.hierarchical_objective import HierarchicalObjective
from hrvlm.objectives.image_text_contrastive import ImageTextContrastiveObjective
from hrvlm.objectives.noisy_model import NoisyModel
from hrvlm.objectives.pmg_aft import PMGAFTObjective
from hrvlm.objectives.subspace_alignment import SubspaceAlignmentObjective

__all__ = [
    "AGFTObjective",
    "Adversarial",
    "CleanObjective",
    "FAREObjective",
    "HierarchicalObjective",
    "ImageTextContrastiveObjective",
    "ImageTextModel",
    "NoisyModel",
    "Objective",
    "PMGAFTObjective",
    "Perturbed",
    "SubspaceAlignmentObjective",
    "TeCoAObjective",
]
