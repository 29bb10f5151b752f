"""hrvlm: adversarially robust vision-language models at every level of class trees, with certificates."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrvlm import data, geometry, models, trees
    from hrvlm.models import load_model
    from hrvlm.reports import plots
    from hrvlm.reports.frames import to_frame
    from hrvlm.reports.results import Certificates, Results
    from hrvlm.trees import load_forest, load_tree

__version__ = "0.1.0"

__all__ = [
    "Certificates",
    "Results",
    "data",
    "geometry",
    "load_forest",
    "load_model",
    "load_tree",
    "models",
    "plots",
    "to_frame",
    "trees",
]

_MODULE_OF = {
    "Certificates": "hrvlm.reports.results",
    "Results": "hrvlm.reports.results",
    "load_forest": "hrvlm.trees",
    "load_model": "hrvlm.models",
    "load_tree": "hrvlm.trees",
    "to_frame": "hrvlm.reports.frames",
}


def __dir__() -> list[str]:
    """The names that can be asked for."""
    there = (name for name, value in globals().items() if isinstance(value, ModuleType) or name.startswith("__"))
    return sorted({*there, *__all__})


def __getattr__(name: str) -> Any:
    """Imports what is asked for: models and data take seconds, which commands that need neither would wait for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    return import_module("hrvlm.reports.plots" if name == "plots" else f"{__name__}.{name}")
