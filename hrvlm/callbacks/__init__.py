"""Certification and robustness evaluation around and after epochs."""

from hrvlm.callbacks.certification import CertificationCallback
from hrvlm.callbacks.export import ExportModel
from hrvlm.callbacks.geometry import GeometryCallback
from hrvlm.callbacks.robust_validation import RobustValidationCallback
from hrvlm.callbacks.robustness import RobustnessCallback
from hrvlm.callbacks.run_progress import RunProgress
from hrvlm.callbacks.summary import SummaryTable
from hrvlm.callbacks.zero_shot import ZeroShotCallback

__all__ = [
    "CertificationCallback",
    "ExportModel",
    "GeometryCallback",
    "RobustValidationCallback",
    "RobustnessCallback",
    "RunProgress",
    "SummaryTable",
    "ZeroShotCallback",
]
