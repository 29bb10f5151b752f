from .answers import attack_curves
from .attacks import transfer_matrix
from .certificates import (
    certificate_figure,
    certificate_figures,
    certified_accuracy,
    certified_profile,
    semantic_bars,
    semantic_invariance,
)
from .charts import calibration_losses, certified_by_epoch, compared
from .training import level_geometry, read_metrics, training_curves

__all__ = [
    "attack_curves",
    "calibration_losses",
    "certificate_figure",
    "certificate_figures",
    "certified_accuracy",
    "certified_by_epoch",
    "certified_profile",
    "compared",
    "level_geometry",
    "read_metrics",
    "semantic_bars",
    "semantic_invariance",
    "training_curves",
    "transfer_matrix",
]
