"""Fine-tuning objectives behind one interface."""

from hrvlm.objectives.agft import AGFTObjective
from hrvlm.objectives.base import Adversarial, ImageTextModel, Objective, Perturbed
from hrvlm.objectives.fare import FAREObjective
from hrvlm.objectives.flat import CleanObjective, TeCoAObjective
from hrvlm.objectives.guided_hierarchical import Guidance, GuidedHierarchicalObjective
from hrvlm.objectives.hierarchical_objective import HierarchicalObjective
from hrvlm.objectives.image_text_contrastive import ImageTextContrastiveObjective
from hrvlm.objectives.noise_terms import Consistency, MaximizedRadius, NoiseTerms, noisy_loss
from hrvlm.objectives.noisy_model import NoisyModel
from hrvlm.objectives.pmg_aft import PMGAFTObjective
from hrvlm.objectives.smooth_adv import SmoothAdvObjective
from hrvlm.objectives.subspace_alignment import SubspaceAlignmentObjective

__all__ = [
    "AGFTObjective",
    "Adversarial",
    "CleanObjective",
    "Consistency",
    "FAREObjective",
    "Guidance",
    "GuidedHierarchicalObjective",
    "HierarchicalObjective",
    "ImageTextContrastiveObjective",
    "ImageTextModel",
    "MaximizedRadius",
    "NoiseTerms",
    "NoisyModel",
    "Objective",
    "PMGAFTObjective",
    "Perturbed",
    "SmoothAdvObjective",
    "SubspaceAlignmentObjective",
    "TeCoAObjective",
    "noisy_loss",
]
