"""Threat model, perturbation for training, attacks for evaluation; all are given a loss or a classifier on pixels."""

from hrvlm.attacks.adapter import AttackOutcome, attack
from hrvlm.attacks.ascent import Ascent
from hrvlm.attacks.ensemble import AttackSettings
from hrvlm.attacks.perturbation import NonFiniteError, frozen_parameters, perturb, perturb_jointly, pgd
from hrvlm.attacks.threat_model import ThreatModel

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
