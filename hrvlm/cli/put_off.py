"""Packages that are entered without running their `__init__`, which runs when it is needed.

The seconds until a command with a model begins are mostly imports of what it never uses. A package that is put off can
be imported at once, and the modules below it too; the first name of it that is not among a few runs its `__init__`, and
from then on it is as any other. The import system runs it, so that threads wait for each other as for every import.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import _bootstrap, import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import get_ident
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
_fillers: dict[str, int] = {}  # the threads that run their `__init__` now
_beginning: list[int] = []  # the threads that hold modules which they have not begun to load
_FILLING = "hrvlm.cli.put_off: "  # begins names that are imported to fill the package they end with
_Deadlock: type[RuntimeError] = _bootstrap._DeadlockError  # type: ignore[attr-defined]


def put_off(packages: Mapping[str, PutOff]) -> None:
    """Lets packages wait until they are asked for; does nothing to those that have been imported."""
    new = {name: package for name, package in packages.items() if name not in sys.modules}
    _waiting.update(new)
    for name in new:
        _prepared.discard(name)
        sys.modules.pop(_filling(name), None)  # of one that has been filled, and taken out of the modules since
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
        light = {} if package is None or self.__name__ in _fillers else package.light
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
    while _to_be_filled(module.__name__):
        try:
            __import__(_filling(module.__name__))  # by which threads wait for each other, but not in circles
        except _Deadlock:  # another thread holds a module that this one needs, and waits for it
            if get_ident() in _beginning:
                raise  # for that one may need what this one holds
            time.sleep(0.01)
    return module


def _to_be_filled(name: str) -> bool:
    return name in _waiting and _fillers.get(name) != get_ident()


def _filling(name: str) -> str:
    return _FILLING + name.replace(".", "/")


class _Finder(MetaPathFinder):
    """Finds the packages that are put off, modules below them, and what fills them; it imports nothing.

    While it is asked Python lets no other thread import anything, so that waiting for another here would have no end.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a package lies, with a loader that does not run its `__init__`; where it is found as usual, None."""
        if fullname.startswith(_FILLING):
            return ModuleSpec(fullname, _Filling(sys.modules[fullname.removeprefix(_FILLING).replace("/", ".")]))
        above = _waiting.get(fullname.rpartition(".")[0])
        below = above is not None and above.below is not None and target is None
        if fullname not in _waiting and not below:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            _waiting.pop(fullname, None)  # others may find it, and run its `__init__`
        else:
            if fullname in _waiting:
                spec.loader = _Entering(spec.loader)
            if below:
                spec.loader = _Below(spec.loader)
        return spec


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
        name = package.__name__
        if name not in _waiting:
            return
        if spec is None or spec.loader is None:
            raise ImportError(f"expected {name} to have its loader, got it without; import it anew", name=name)
        _fillers[name] = get_ident()
        try:
            for light in _waiting[name].light:
                vars(package).pop(light, None)  # what served in their place
            spec.loader.exec_module(package)
        finally:
            del _fillers[name]
        if package.__class__ is Unfilled:  # not one of its own
            package.__class__ = ModuleType
        done = _waiting.pop(name).filled
        if done is not None:
            done(package)


class _Below(Loader):
    """Loads a module below a package that is put off, after what must happen before it."""

    def __init__(self, usual: Loader) -> None:
        self.usual = usual
        self.spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module itself, if it has come meanwhile; otherwise what its usual loader makes, which then loads it."""
        _prepare(spec.name.rpartition(".")[0])
        loaded = sys.modules.get(spec.name)
        if loaded is not None:
            self.spec = loaded.__spec__
            return loaded
        spec.loader = self.usual
        return self.usual.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Leaves it as it is, for it has been loaded."""
        vars(module)["__spec__"] = self.spec  # not as an attribute, which some modules refuse


def _prepare(above: str) -> None:
    """What must happen before a module below a package is loaded; waits where another thread fills it."""
    package, filled = _waiting.get(above), above in _fillers
    if package is None or package.below is None or (above in _prepared and not filled):
        return
    _prepared.add(above)
    _beginning.append(get_ident())
    try:
        _ = fill(sys.modules[above]) if filled else package.below()
    except _Deadlock:
        pass  # threads that wait for each other here go on, as they do where nothing is put off
    finally:
        _beginning.remove(get_ident())


def _light(source: Any, name: str) -> Any:
    """What a light name is; None where this version of the package has it elsewhere."""
    if not isinstance(source, str):
        return source
    try:
        return getattr(import_module(source), name, None)
    except ImportError:
        return None
