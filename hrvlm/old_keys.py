"""Settings that have moved into a value: what they were called before is still understood, and said to be old.

A class names its former keyword arguments and where they are now:

    @old_keys(eps="threat_model.eps", norm="threat_model.norm")
    class Objective:
        def __init__(self, *, threat_model: ThreatModel = ThreatModel()) -> None: ...

Calls from Python and hyper-parameters stored in checkpoints go through the constructor, which warns; configurations and
command lines are rewritten before they are checked, by the parsers in `hrvlm.cli`.
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, get_args, get_type_hints

Kind = TypeVar("Kind", bound=type)


def old_keys(**places: str) -> Callable[[Kind], Kind]:
    """Lets a class be made with the former names of its settings.

    Values may be given as mappings of their fields, too, as reports have them from the folders of runs.

    Args:
        places: For every former name, argument and field of the value that it is now, as "threat_model.eps".

    Returns:
        A decorator; what it wraps warns (FutureWarning) once for each call with former names.
    """

    def decorate(kind: Kind) -> Kind:
        made = kind.__init__  # type: ignore[misc]  # the class is told, not an object

        @wraps(made)
        def __init__(self: Any, *arguments: Any, **given: Any) -> None:
            found = found_in(given, places)
            if found:
                # A dataclass calls this for its subclasses too, so the name is that of the object.
                warnings.warn(f"{type(self).__name__}: {described(found)}", FutureWarning, stacklevel=2)
                given = _in_values(made, given, found)
            made(self, *arguments, **_made_values(made, given))

        __init__.old_keys = dict(places)  # type: ignore[attr-defined]
        kind.__init__ = __init__  # type: ignore[misc]
        return kind

    return decorate


def places_of(kind: Any) -> dict[str, str]:
    """Where the former settings of a class are now, or of the one that it passes `**arguments` on to; mostly empty."""
    for each in inspect.getmro(kind) if inspect.isclass(kind) else ():
        made = vars(each).get("__init__")
        found: dict[str, str] = getattr(made, "old_keys", {})
        if found or (made and not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(made).parameters.values())):
            return found
    return {}


def described(found: Mapping[str, str]) -> str:
    """One sentence about the former names that were found."""
    names = ", ".join(f"{old} is now {new}" for old, new in found.items())
    return f"settings were given by old names, which will not be understood for ever: {names}"


def nested(settings: Mapping[str, Any], places: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a configuration with everything where it is now.

    Args:
        settings: Values by name, as a file holds them; values that are mappings may hold some of their fields.
        places: See `old_keys`.

    Returns:
        Settings in the present form, and the places of the former names that were found.

    Raises:
        ValueError: If a setting is given by its former name and in its present place.
    """
    found = found_in(settings, places)
    moved = {name: value for name, value in settings.items() if name not in found}
    for name, place in found.items():
        argument, _, field = place.partition(".")
        value = moved.get(argument, {})
        if not isinstance(value, Mapping) or field in value or place in moved:
            raise ValueError(f"expected {place} once, got it by its old name {name} as well: leave {name} out")
        moved[argument] = {**value, field: settings[name]}
    return moved, found


def found_in(settings: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, str]:
    """Which former names occur among settings, with their places.

    A former name may be that of a value now, as `head` is; then it is the former setting where a plain value is given.
    """
    return {
        name: place
        for name, place in places.items()
        if name in settings and (not place.startswith(f"{name}.") or _is_plain(settings[name]))
    }


def _is_plain(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float) and not str(value).lstrip().startswith("{"))


def _made_values(made: Callable[..., None], given: dict[str, Any]) -> dict[str, Any]:
    """Arguments with mappings where a dataclass is expected turned into it; what they lack is as it is by default."""
    if not any(isinstance(value, Mapping) for value in given.values()):
        return given
    hints = get_type_hints(made)
    return {
        name: _changed(made, name, value) if isinstance(value, Mapping) and _value_kind(hints.get(name)) else value
        for name, value in given.items()
    }


def _value_kind(hint: Any) -> Any:
    """The dataclass that an argument is annotated with, alone or beside None; None for other arguments."""
    return next((kind for kind in (hint, *get_args(hint)) if dataclasses.is_dataclass(kind)), None)


def _changed(made: Callable[..., None], argument: str, fields: Mapping[str, Any]) -> Any:
    """The default of an argument of a constructor with some of its fields changed."""
    default = inspect.signature(made).parameters[argument].default
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return dataclasses.replace(default, **fields)
    return _value_kind(get_type_hints(made)[argument])(**fields)


def _in_values(made: Callable[..., None], given: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of a constructor with former settings put into the values that hold them now."""
    changes: dict[str, dict[str, Any]] = {}
    for name, place in found.items():
        argument, _, field = place.partition(".")
        changes.setdefault(argument, {})[field] = given[name]
    arguments = {name: value for name, value in given.items() if name not in found}
    for argument, fields in changes.items():
        if argument in arguments:
            value = arguments[argument]
            value = _changed(made, argument, value) if isinstance(value, Mapping) else value
            arguments[argument] = dataclasses.replace(value, **fields)
        else:
            arguments[argument] = _changed(made, argument, fields)
    return arguments
