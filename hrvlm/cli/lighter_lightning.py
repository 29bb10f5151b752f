"""Lightning without what it seldom uses: half of the time until a command that needs a model begins.

Importing torchmetrics imports every metric, with them torchvision and SciPy's signals, and matplotlib; Lightning asks
for two classes of it. And Lightning imports PyTorch's compiler, as optimizers do, to know what is compiled and to say
what must not be: nothing is, until somebody compiles something.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from types import FunctionType, MethodType, ModuleType
from typing import Any
from weakref import WeakSet

from hrvlm.cli.put_off import PutOff, fill, is_put_off, put_off

METRICS, PLOTS, COMPILER = "torchmetrics", "torchmetrics.utilities.plot", "torch._dynamo"
_kept_out: WeakSet[_KeptOut] = WeakSet()  # which functions that are made and forgotten leave


class _Kind(type):
    """That of a class which stands for one of the compiler."""

    def __instancecheck__(cls, instance: Any) -> bool:
        """Whether the compiler has made it: not before there is one."""
        return not is_put_off(COMPILER) and isinstance(instance, getattr(import_module(COMPILER), cls.__name__))

    def __subclasscheck__(cls, kind: type) -> bool:
        """Whether it is a class of what the compiler makes."""
        if kind is cls or is_put_off(COMPILER):
            return kind is cls
        return issubclass(kind, getattr(import_module(COMPILER), cls.__name__))


class OptimizedModule(metaclass=_Kind):
    """Stands for the class of compiled modules, of which there are none while the compiler is put off."""


class _KeptOut:
    """A function that is never compiled: itself, and what the compiler makes of it once it is there."""

    def __init__(self, function: Callable[..., Any], *settings: Any, **more: Any) -> None:
        self.runs, self.settings, self.more = function, settings, more
        _kept_out.add(self)


def disable(fn: Callable[..., Any] | None = None, *settings: Any, **more: Any) -> Callable[..., Any]:
    """A function that is never compiled, for which there need be no compiler; one is imported for all but functions."""
    if not isinstance(fn, FunctionType | MethodType) or not is_put_off(COMPILER):
        found: Callable[..., Any] = fill(import_module(COMPILER)).disable(fn, *settings, **more)
        return found
    kept = _KeptOut(fn, *settings, **more)

    @wraps(fn)
    def run(*arguments: Any, **given: Any) -> Any:
        return kept.runs(*arguments, **given)

    return run


def _end_graph(msg: str = "") -> None:
    """None is being made while the compiler is put off."""


_ends_graph = _KeptOut(_end_graph)


def graph_break(msg: str = "") -> None:
    """Ends a graph, as functions do that are never compiled."""
    _ends_graph.runs(msg)


def plot_single_or_multi_val(*arguments: Any, **settings: Any) -> Any:
    """What every metric plots itself with."""
    return fill(sys.modules[PLOTS]).plot_single_or_multi_val(*arguments, **settings)


def _keep_out(compiler: ModuleType) -> None:
    for kept in [*_kept_out]:
        kept.runs = compiler.disable(kept.runs, *kept.settings, **kept.more)
    _kept_out.clear()


PACKAGES = {
    METRICS: PutOff(
        light={
            "Metric": f"{METRICS}.metric",
            "MetricCollection": f"{METRICS}.collections",
            "__version__": f"{METRICS}.__about__",
        },
        given={"_logger": logging.getLogger(METRICS)},  # which its utilities take from it
        below=lambda: import_module(f"{METRICS}.utilities"),  # which imports metrics, and they import it
    ),
    PLOTS: PutOff(  # imports matplotlib; the types are those it has where there is none
        light={
            "_AX_TYPE": object,
            "_PLOT_OUT_TYPE": tuple[object, object],
            "plot_single_or_multi_val": plot_single_or_multi_val,
        }
    ),
    COMPILER: PutOff(
        light={"OptimizedModule": OptimizedModule, "disable": disable, "graph_break": graph_break},
        below=lambda: fill(sys.modules[COMPILER]),  # whose modules import each other by way of it
        filled=_keep_out,
    ),
}


def lighten_lightning() -> None:
    """Lets metrics, their plots, and PyTorch's compiler wait until they are asked for."""
    put_off(PACKAGES)
