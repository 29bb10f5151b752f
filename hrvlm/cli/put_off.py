"""Packages that are entered without running their `__init__`, which runs when it is needed.

The seconds until a command with a model begins are mostly imports of what it never uses. A package that is put off can
be imported at once, and the modules below it too; the first name of it that is not among a few runs its `__init__`, and
from then on it is as any other. The import system runs it, so that threads wait for each other as for every import.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class PutOff:
    """What a package is without its `__init__`.

    Attributes:
        light: Names that do not need it: the module that defines each, or what serves in its place.
        given: Names it has from the start.
        below: What must happen before a module below it is imported for the first time.
        filled: What must happen once its `__init__` has run; called with the package.
    """

    light: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    below: Callable[[], object] | None = None
    filled: Callable[[ModuleType], None] | None = None


_waiting: dict[str, PutOff] = {}  # until their `__init__` has run
_prepared: set[str] = set()  # what must happen before modules below them has begun
_FILLING = "hrvlm.cli.put_off: "  # begins names that are imported to fill the package they end with


def put_off(packages: Mapping[str, PutOff]) -> None:
    """Lets packages wait until they are asked for; does nothing to those that have been imported."""
    _waiting.update({name: package for name, package in packages.items() if name not in sys.modules})
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def is_put_off(name: str) -> bool:
    """Whether a package has not been needed so far."""
    return name in _waiting


class Unfilled(ModuleType):
    """A package whose `__init__` has not run, or not to its end."""

    def __getattr__(self, name: str) -> Any:
        """A light name alone; for any other one, all that the package holds."""
        package = _waiting.get(self.__name__)
        light = {} if package is None or _being_filled(self.__name__) else package.light
        if name in light and (found := _light(light[name], name)) is not None:
            setattr(self, name, found)
            return found
        if name.startswith("__") and name not in (*light, "__all__"):  # as tools ask of every module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        fill(self)
        return ModuleType.__getattribute__(self, name)  # not by this method: its `__init__` may be running

    def __dir__(self) -> list[str]:
        """All that the package holds."""
        fill(self)
        return list(ModuleType.__dir__(self))


def fill(module: ModuleType) -> ModuleType:
    """Runs the `__init__` of an unfilled package, which then is as any other; it stays unfilled where that fails.

    Where it runs already, other threads wait for its end, and what it imports itself goes on, as in circles of imports.
    """
    name = _FILLING + module.__name__.replace(".", "/")
    if is_put_off(module.__name__):
        __import__(name)  # by which threads wait for each other, but not in circles
    return module


def _being_filled(name: str) -> bool:
    return _FILLING + name.replace(".", "/") in sys.modules


class _Finder(MetaPathFinder):
    """Finds the packages that are put off, modules below them, and what fills them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a package lies, with a loader that does not run its `__init__`; where it is found as usual, None."""
        if fullname.startswith(_FILLING):
            return ModuleSpec(fullname, _Filling(sys.modules[fullname.removeprefix(_FILLING).replace("/", ".")]))
        if fullname in _waiting:
            spec = PathFinder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Entering(spec.loader)
            return spec
        above = fullname.rpartition(".")[0]
        package = _waiting.get(above)
        if package is None or target is not None:
            return None
        if _being_filled(above):
            fill(sys.modules[above])  # waits, if another thread does
        elif package.below is not None and above not in _prepared:
            _prepared.add(above)
            package.below()
        loaded = sys.modules.get(fullname)  # which may have come meanwhile
        if loaded is not None:
            vars(loaded)["__spec__"] = ModuleSpec(fullname, _Loaded(loaded))  # which Python takes, not what is returned
        return None if loaded is None else loaded.__spec__


class _Entering(Loader):
    """Loads a package without running its `__init__`."""

    def __init__(self, usual: Loader) -> None:
        self.usual = usual

    def exec_module(self, module: ModuleType) -> None:
        """Leaves it unfilled, with its usual loader, which will fill it."""
        module.__loader__ = self.usual
        if module.__spec__ is not None:
            module.__spec__.loader = self.usual
        vars(module).update(_waiting[module.__name__].given)
        module.__class__ = Unfilled


class _Filling(Loader):
    """Loads nothing itself: fills a package that has been entered."""

    def __init__(self, package: ModuleType) -> None:
        self.package = package

    def exec_module(self, module: ModuleType) -> None:
        """Runs its `__init__`, unless that has happened meanwhile."""
        package, spec = self.package, self.package.__spec__
        if not is_put_off(package.__name__) or spec is None or spec.loader is None:
            return
        for name in _waiting[package.__name__].light:
            vars(package).pop(name, None)  # what served in their place
        spec.loader.exec_module(package)
        package.__class__ = ModuleType
        done = _waiting.pop(package.__name__).filled
        if done is not None:
            done(package)


class _Loaded(Loader):
    """A module that has been loaded meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself."""
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        """Leaves it as it is."""
        vars(module)["__spec__"] = self.spec  # not as an attribute, which some modules refuse


def _light(source: Any, name: str) -> Any:
    """What a light name is; None where this version of the package has it elsewhere."""
    if not isinstance(source, str):
        return source
    try:
        return getattr(import_module(source), name, None)
    except ImportError:
        return None
