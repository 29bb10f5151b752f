"""Lightning without what it never uses of torchmetrics.

Importing torchmetrics imports every metric, and with them transformers, torchvision, matplotlib and SciPy's signals:
half of the time until a command that needs a model begins. Lightning asks for two classes of it.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from hrvlm.cli.unfilled import Unfilled, fill, put_off

_METRICS, _UTILITIES, _PLOTS = "torchmetrics", "torchmetrics.utilities", "torchmetrics.utilities.plot"
LIGHT = {"Metric": "metric", "MetricCollection": "collections", "__version__": "__about__"}
"""Names that need no other metrics, by the module that defines them."""


def put_off_metrics() -> None:
    """Lets torchmetrics wait until more of it is asked for; does nothing where it has been imported."""
    put_off(_METRICS, LIGHT, _logger=logging.getLogger(_METRICS))  # which its utilities take from it
    put_off(_UTILITIES, {"rank_zero_warn": "prints"})
    put_off(_PLOTS, _AX_TYPE=object, _PLOT_OUT_TYPE=object, plot_single_or_multi_val=_drawn)  # as without matplotlib


def _drawn(*arguments: Any, **settings: Any) -> Any:
    """A drawing of a metric, by the module that then is there."""
    plots = import_module(_PLOTS)
    if isinstance(plots, Unfilled):
        fill(plots)
    return plots.plot_single_or_multi_val(*arguments, **settings)
