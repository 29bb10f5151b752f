"""The one reader of YAML that people write: trees, lists of classes, configurations."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from hrvlm.trees.bounded_text import check_yaml

_PLAIN: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # several times as fast where PyYAML has it


def load_yaml(text: str, kind: Any = _PLAIN) -> Any:
    """Reads one YAML document of plain values in which no mapping has a key twice.

    Args:
        text: The document.
        kind: Loader that resolves and builds the values; a safe one.

    Raises:
        yaml.YAMLError: If it is not valid, exceeds a bound, or gives a key twice; with line and column.
    """
    check_yaml(text)
    try:
        loader = kind(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(loader, node, set())
        return loader.construct_document(node)
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # of values such as 2024-13-45 or !!bool maybe
        raise yaml.YAMLError(f"expected values that fit their tags and forms, but {error}") from error


def _check(loader: yaml.SafeLoader, node: yaml.Node, seen: set[int]) -> None:
    """Refuses a key given twice, which YAML forbids and PyYAML answers with the last value.

    Keys count as written: merged ones (`<<`) may be overridden, that is what they are for.
    """
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for part in node.value:
            _check(loader, part, seen)
    if isinstance(node, yaml.MappingNode):
        keys: set[Hashable] = set()
        for key, value in node.value:
            own = _identity(loader, key)
            if own & keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            keys |= own
            _check(loader, key, seen)
            _check(loader, value, seen)


def _identity(loader: yaml.SafeLoader, key: yaml.Node) -> set[Hashable]:
    """What a key must not share with another: its text, and its value, so that `yes` and `true` are one key."""
    if not isinstance(key, yaml.ScalarNode):  # YAML allows such keys, no reader of ours does
        return set()
    merges = key.tag == "tag:yaml.org,2002:merge"
    return {("text", key.value), ("value", key.value if merges else loader.construct_object(key))}
