from .adapter import AttackOutcome, attack
from .ascent import Ascent
from .gradients import NonFiniteError
from .names import AttackSettings
from .perturbation import frozen_parameters, perturb, perturb_jointly, pgd
from .threat_model import ThreatModel

__all__ = [
    "Ascent",
    "AttackOutcome",
    "AttackSettings",
    "NonFiniteError",
    "ThreatModel",
    "attack",
    "frozen_parameters",
    "perturb",
    "perturb_jointly",
    "pgd",
]
