"""Threat model and the perturbation used in training and evaluation; attacks are given a loss and know no objective."""

from hrvlm.attacks.perturbation import NonFiniteError, frozen_parameters, perturb, perturb_jointly, pgd
from hrvlm.attacks.threat_model import ThreatModel

__all__ = ["NonFiniteError", "ThreatModel", "frozen_parameters", "perturb", "perturb_jointly", "pgd"]
