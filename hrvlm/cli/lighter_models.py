"""open_clip without what its models seldom use: the seconds until a command with a model begins are mostly imports.

Importing open_clip imports every model of timm and of torchvision, two of which set up PyTorch's compiler, and all of
transformers, for the one class of text towers that are its models. So packages of both wait until any name of them is
asked for, and that class imports transformers when one is made.
"""

from __future__ import annotations

import sys
from importlib import import_module, reload
from typing import Any

from hrvlm.cli.unfilled import put_off

PUT_OFF: dict[str, dict[str, str]] = {"timm": {"__version__": "version"}} | {
    f"torchvision.{name}": {} for name in ("datasets", "models", "ops")
}
"""Packages of which open_clip asks for modules below them, and for no name of their own but a version."""
_OPEN_CLIP, _TOWERS, _BUILDER, _NAME = "open_clip", "open_clip.hf_model", "open_clip.model", "HFTextEncoder"
_OPTIONAL = "transformers"


def enter_open_clip() -> None:
    """Imports open_clip so; does nothing where it has been imported."""
    if _OPEN_CLIP in sys.modules:
        return
    for package, light in PUT_OFF.items():
        put_off(package, light)
    import_module("torchvision")  # whose packages else would be entered before it
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
