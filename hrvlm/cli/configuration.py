"""How values of configurations are read, in files and on the command line, by every parser of this project."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, ClassVar

import yaml
from jsonargparse import Namespace, _actions, _typehints, set_loader

from hrvlm.trees.strict_text import load_yaml

_EXPONENT = re.compile(r"[-+]?(\d{1,99}\.?\d{0,99}|\.\d{1,99})[eE][-+]?\d{1,3}")
_FRACTION = re.compile(r"[-+]?\d{1,18}/\d{1,18}")
_WORD = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./+-]{0,99}")
_VALUE = re.compile(r":\s+\S")  # what makes a mapping one to people, too
_HOME = re.compile(r"~[\w.-]*(/|$)")
_LARGEST = 10**18  # what is above is no count
_FLOAT = "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """Plain values; unlike PyYAML's, `1e-3` is a number, `1e3` an integer, and dates are texts."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        first: [(tag, form) for tag, form in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Builds a number with an exponent."""
        found = exact_number(node.value)
        return self.construct_yaml_float(node) if found is None else found


_Loader.add_implicit_resolver(_FLOAT, re.compile(f"^{_EXPONENT.pattern}$"), list("-+.0123456789"))
_Loader.add_constructor(_FLOAT, _Loader.construct_number)


def exact_number(text: str) -> int | float | None:
    """The number of a text such as "1e3" or "8/255": an integer where it is one; None of any other text."""
    text = text.strip()
    if not (_EXPONENT.fullmatch(text) or _FRACTION.fullmatch(text)) or re.search(r"/0+$", text):
        return None
    exact = Fraction(text)
    if exact.denominator == 1 and abs(exact) <= _LARGEST:
        return int(exact)
    return float(exact) if "/" in text else float(text)  # the second may overflow to infinity


def load_configuration(text: str) -> Any:
    """Reads a configuration, or a value of the command line.

    Raises:
        yaml.YAMLError: If it is not valid, or a key is given twice.
    """
    if _WORD.fullmatch(text):
        return _word(text)
    found = load_yaml(text, _Loader)
    _check_dotted(found)
    # "{word}" and "a:" of prompts are mappings without values for YAML, and texts for whoever writes them.
    return text if isinstance(found, dict) and found and not _VALUE.search(text) else found


@lru_cache(maxsize=4096)
def _word(text: str) -> Any:
    """The value of a single word or number, which a parser asks for many times over."""
    return load_yaml(text, _Loader)


def _check_dotted(value: Any) -> None:
    """Refuses a key given twice in two ways, as `a.b` and as `b` within `a`."""
    if isinstance(value, list):
        for part in value:
            _check_dotted(part)
    if isinstance(value, dict):
        for key, part in value.items():
            _check_dotted(part)
            words = str(key).split(".")
            for cut in range(1, len(words)):
                within: Any = value.get(".".join(words[:cut]))
                if isinstance(within, dict) and ".".join(words[cut:]) in within:
                    raise yaml.YAMLError(f"the key {key!r} is given twice: it is in {'.'.join(words[:cut])!r} as well")


def at_home(value: Any) -> Any:
    """A value of a configuration, with `~` and `~user` at the beginning of texts as home folders, as a shell has it.

    Shells leave it as it is in `--output=~/runs`, and do not see it in files.
    """
    if isinstance(value, Namespace):
        for key, part in value.items(branches=True, nested=False):
            value[key] = at_home(part)
    elif isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(at_home(part) for part in value)
    elif isinstance(value, dict):
        return {key: at_home(part) for key, part in value.items()}
    elif type(value) is str and _HOME.match(value):
        return os.path.expanduser(value)
    return value


def _integers_first(subtypes: Any, *given: Any) -> list[Any]:
    """The members of a union in the order in which they are tried: an integer is one where it may be.

    `typing` takes `int | float` and `float | int` for the same and keeps the one that was written first anywhere in
    the process, so without this `limit_train_batches: 1` may be one batch or, as 1.0, all of them.
    """
    return sorted(_ORIGINAL_SORT(subtypes, *given), key=lambda subtype: subtype is float)


def _files_first(action: Any, given: Any) -> Any:
    """What was given for a group of settings: `plan.yaml` is a file, and no class `yaml` of a module `plan`."""
    is_file = isinstance(given, str) and (os.path.isfile(given) or given.endswith((".yaml", ".yml", ".json")))
    return given if is_file else _ORIGINAL_SPEC(action, given)


def _load_simple(text: str) -> Any:
    """Reads a text where a number, true, false or null is expected."""
    found = exact_number(text)
    return _ORIGINAL(text) if found is None else found


set_loader("yaml", load_configuration, (yaml.YAMLError,))
# The one place that texts for numbers pass, of files and of the command line. It has no public name: were it gone, only
# fractions, and exponents of integers on the command line, would be refused again.
_ORIGINAL = getattr(_typehints, "basic_json_or_yaml_load", load_configuration)
_typehints.basic_json_or_yaml_load = _load_simple
# Nor has the one place that orders unions.
_ORIGINAL_SORT = getattr(_typehints, "sort_subtypes_for_union", lambda subtypes, *_: list(subtypes))
_typehints.sort_subtypes_for_union = _integers_first
# Nor has what takes every text for a class first, which only the names of trusted modules may be.
_GROUP: Any = getattr(_actions, "_ActionConfigLoad", SimpleNamespace())
_ORIGINAL_SPEC = getattr(_GROUP, "resolve_subclass_spec", lambda action, given: given)
_GROUP.resolve_subclass_spec = _files_first
