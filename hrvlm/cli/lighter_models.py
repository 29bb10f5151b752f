"""open_clip without what its models seldom use: the seconds until a command with a model begins are mostly imports.

Importing open_clip imports every model of timm and of torchvision, two of which set up PyTorch's compiler, and all of
transformers, for the one class of text towers that are its models. So two packages are entered without their contents,
and their `__init__` runs when any name of them is asked for; and that class imports transformers when one is made.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module, reload
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

PUT_OFF = ("timm", "torchvision.models", "torchvision.ops")
"""Packages of which open_clip asks for modules below them, and for no name of their own."""
_OPEN_CLIP, _TOWERS, _BUILDER, _NAME = "open_clip", "open_clip.hf_model", "open_clip.model", "HFTextEncoder"
_OPTIONAL = "transformers"


class Unfilled(ModuleType):
    """A package whose `__init__` has not run, and whose modules can be imported."""

    def __getattr__(self, name: str) -> Any:
        """Its version alone, which modules below it ask for; for any other name, all that it holds."""
        if name == "__version__" and find_spec(f"{self.__name__}.version") is not None:
            self.__version__ = import_module(f"{self.__name__}.version").__version__
            return self.__version__
        if name.startswith("__") and name != "__all__":  # as tools ask of every module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        fill(self)
        return getattr(self, name)

    def __dir__(self) -> list[str]:
        """All that the package holds."""
        fill(self)
        return dir(self)


class _Entering(Loader):
    """Loads a package without running its `__init__`."""

    def __init__(self, usual: Loader) -> None:
        self.usual = usual

    def exec_module(self, module: ModuleType) -> None:
        """Leaves it unfilled, with the loader that will fill it."""
        module.__loader__ = self.usual
        if module.__spec__ is not None:
            module.__spec__.loader = self.usual
        module.__class__ = Unfilled


class _PutOff(MetaPathFinder):
    """Finds the packages that are put off."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a package lies, with a loader that does not run its `__init__`."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in PUT_OFF else None
        if spec is not None and spec.loader is not None and spec.submodule_search_locations:
            spec.loader = _Entering(spec.loader)
        return spec


def fill(module: ModuleType) -> None:
    """Runs the `__init__` of an unfilled package, which then is as any other; it stays unfilled where that fails."""
    module.__class__ = ModuleType
    try:
        if module.__spec__ is not None and module.__spec__.loader is not None:
            module.__spec__.loader.exec_module(module)
    except BaseException:
        module.__class__ = Unfilled
        raise


def enter_open_clip() -> None:
    """Imports open_clip so; does nothing where it has been imported."""
    if _OPEN_CLIP in sys.modules:
        return
    if not any(isinstance(finder, _PutOff) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PutOff())
    if _OPTIONAL in sys.modules:
        import_module(_OPEN_CLIP)
        return
    sys.modules[_OPTIONAL] = None  # type: ignore[assignment]  # as if it were not installed, which open_clip allows
    try:
        import_module(_OPEN_CLIP)
    finally:
        del sys.modules[_OPTIONAL]
    builder = import_module(_BUILDER)
    if hasattr(builder, _NAME):
        setattr(builder, _NAME, _text_tower)


def _text_tower(*arguments: Any, **settings: Any) -> Any:
    """A text tower of transformers; open_clip makes the next ones itself."""
    found = getattr(reload(import_module(_TOWERS)), _NAME)
    setattr(import_module(_BUILDER), _NAME, found)
    return found(*arguments, **settings)
