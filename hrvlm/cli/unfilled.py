"""Modules that have not run, in the place of those that import more than anybody asks of them.

An unfilled module stands in `sys.modules` as any other; if it is a package, modules below it can be imported. It runs,
in place, when any name of it is asked for, but for light ones, which are known or which a module below it defines. The
import system stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_LIGHT: dict[str, Mapping[str, str]] = {}


class Unfilled(ModuleType):
    """A module that has not run."""

    def __getattr__(self, name: str) -> Any:
        """A light name alone; for any other one, all that the module holds."""
        light = _LIGHT.get(self.__name__, {})
        if name in light and (found := _defined(f"{self.__name__}.{light[name]}", name)) is not None:
            setattr(self, name, found)
            return found
        if name.startswith("__") and name not in (*light, "__all__"):  # as tools ask of every module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        fill(self)
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        """All that the module holds."""
        fill(self)
        return dir(self)


def put_off(module: str, light: Mapping[str, str] | None = None, **known: Any) -> None:
    """Lets a module wait until it is asked for; does nothing where it, or a package that it lies in, has been imported.

    Args:
        module: its whole name; no package that it lies in is imported.
        light: names that can be had without running it, by the modules below it that define them.
        **known: names that are the same, or do, until it runs.
    """
    parent, _, child = module.rpartition(".")
    above = sys.modules.get(parent)
    if module in sys.modules or not (above is None or isinstance(above, Unfilled)):
        return
    spec = PathFinder.find_spec(module, _locations(parent)) if parent else find_spec(module)
    if spec is None or spec.loader is None:
        return
    unfilled = module_from_spec(spec)
    unfilled.__class__ = Unfilled
    vars(unfilled).update(known)
    _LIGHT[module] = light or {}
    sys.modules[module] = unfilled
    if above is not None:
        setattr(above, child, unfilled)


def fill(module: ModuleType) -> None:
    """Runs an unfilled module, which then is as any other; it stays unfilled where that fails."""
    spec = module.__spec__
    if spec is None or spec.loader is None:  # which `put_off` has seen to
        return
    module.__class__ = ModuleType
    try:
        spec.loader.exec_module(module)
    except BaseException:
        module.__class__ = Unfilled
        raise


def _defined(module: str, name: str) -> Any:
    """What a name is in a module; None where this version of its package has it elsewhere."""
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def _locations(package: str) -> Sequence[str]:
    """Where modules of a package lie, none where it is not installed."""
    spec = find_spec(package)
    return [] if spec is None else spec.submodule_search_locations or []
