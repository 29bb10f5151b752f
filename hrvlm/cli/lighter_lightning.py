"""Lightning without what it never uses of torchmetrics.

Importing torchmetrics imports every metric, and with them transformers, torchvision, and SciPy's signals: half of the
time until a command that needs a model begins. Lightning asks for two classes of it. So the package is entered without
its contents, and its `__init__` runs when any other name of it is asked for.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

PACKAGE = "torchmetrics"
LIGHT = {
    "Metric": f"{PACKAGE}.metric",
    "MetricCollection": f"{PACKAGE}.collections",
    "__version__": f"{PACKAGE}.__about__",
}
"""Names that need no other metrics, by the module that defines them."""


class Unfilled(ModuleType):
    """A package whose `__init__` has not run."""

    def __getattr__(self, name: str) -> Any:
        """A light name alone; for any other one, all that the package holds."""
        if name == "__path__":  # for which Python asks before it imports anything below
            self.__path__ = list(_locations(self))
            with suppress(ImportError):
                import_module(f"{PACKAGE}.utilities")  # imports metrics, which import it: no circle in this order
            return self.__path__
        if name in LIGHT and (found := _light(name)) is not None:
            setattr(self, name, found)
            return found
        if name.startswith("__") and name not in (*LIGHT, "__all__"):  # as tools ask of every module
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
        fill(self)
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        """All that the package holds."""
        fill(self)
        return dir(self)


def put_off_metrics() -> None:
    """Lets torchmetrics wait until it is asked for; does nothing where it has been imported."""
    spec = None if PACKAGE in sys.modules else find_spec(PACKAGE)
    if spec is None or spec.loader is None or not spec.submodule_search_locations:
        return
    module = module_from_spec(spec)
    module.__class__ = Unfilled
    module._logger = logging.getLogger(PACKAGE)  # type: ignore[attr-defined]  # which its utilities take from it
    del module.__path__
    sys.modules[PACKAGE] = module


def fill(module: ModuleType) -> None:
    """Runs the `__init__` of an unfilled package, which then is as any other; it stays unfilled where that fails."""
    spec = module.__spec__
    if spec is None or spec.loader is None:  # which `put_off_metrics` has seen to
        return
    module.__path__ = list(_locations(module))
    module.__class__ = ModuleType
    try:
        spec.loader.exec_module(module)
    except BaseException:
        module.__class__ = Unfilled
        raise


def _light(name: str) -> Any:
    """What a light name is; None where this version of the package has it elsewhere."""
    try:
        return getattr(import_module(LIGHT[name]), name, None)
    except ImportError:
        return None


def _locations(module: ModuleType) -> Iterable[str]:
    spec = module.__spec__
    return () if spec is None else spec.submodule_search_locations or ()
