"""Bounds of YAML and JSON that may come from anybody, checked before anything is built from them.

A few lines can stand for gigabytes (aliases of aliases), exhaust the stack (nesting) or the processor (digits). What
people write by hand stays far below these bounds, and so does every file that the project writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 16 * 2**20  # of a file
MAX_DEPTH = 50  # of lists and mappings within each other
MAX_VALUES = 500_000  # in a YAML document, aliases counted as often as they are used
MAX_DIGITS = 100  # of a number

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|:)")
_Events: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|[0-9._][0-9._:]*)")
_HUGE_EXPONENT = re.compile(r"[-+]?[0-9._]+[eE][-+]?0*[1-9][0-9_]{3,}")


@dataclass
class _Collection:
    """A list or mapping that is being read."""

    anchor: str | None
    values_before: int
    depth: int = 0  # of what it holds


def is_address(path: str | Path) -> bool:
    """Whether a path is none of this machine, such as http://… or s3://…, and would be fetched by some libraries."""
    return _ADDRESS.match(str(path)) is not None


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger than `MAX_BYTES`, or no UTF-8.
    """
    return read_bytes(path).decode("utf-8-sig")


def read_bytes(path: str | Path) -> bytes:
    """What is in a file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger than `MAX_BYTES`.
    """
    with Path(path).open("rb") as file:  # its size is not asked for: devices and pipes have none
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"expected a file of at most {MAX_BYTES // 2**20} MiB, {path} is larger")
    return content


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger than `MAX_BYTES`.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()


def read_json(path: str | Path) -> Any:
    """The value in a JSON file; see `load_json`.

    Raises:
        ValueError: If the file cannot be read, or does not hold one such value; the message names it.
    """
    try:
        return load_json(read_text(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected readable JSON in {path}: {error}") from error


def load_json(text: str) -> Any:
    """The value of a JSON document in which no object has a key twice.

    Raises:
        ValueError: If it is none, nests deeper than `MAX_DEPTH`, or holds a number of more than `MAX_DIGITS` digits.
    """
    try:
        found = json.loads(text, parse_int=_whole_number, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(f"expected at most {MAX_DEPTH} levels of nesting, got more") from None
    level = [found]
    for _ in range(MAX_DEPTH + 1):
        level = [part for value in level for part in _parts(value)]
    if level:
        raise ValueError(f"expected at most {MAX_DEPTH} levels of nesting, got more")
    return found


def check_yaml(text: str) -> None:
    """Checks a YAML document's bounds while reading it once, event by event: nothing is built, no alias expanded.

    Raises:
        yaml.YAMLError: With line and column, if it is no YAML or exceeds a bound.
    """
    if len(text) > MAX_BYTES:
        raise yaml.YAMLError(f"expected a text of at most {MAX_BYTES // 2**20} MiB, got more")
    values, done = 0, _Collection(None, 0)
    known: dict[str, tuple[int, int]] = {}  # values and depth of what an anchor names
    opened = [_Collection(None, 0)]
    for event in yaml.parse(text, Loader=_Events):
        size = depth = 0
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(_Collection(event.anchor, values))
            values += 1
            depth = 0
        elif isinstance(event, yaml.CollectionEndEvent):
            done = opened.pop()
            size, depth = values - done.values_before, done.depth + 1
        elif isinstance(event, yaml.ScalarEvent):
            _check_number(event)
            size, depth = 1, 0
            values += 1
            done = _Collection(event.anchor, values)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in known:
                raise _refused(event, f"the alias {event.anchor!r} refers to what holds it, or to nothing")
            size, depth = known[event.anchor]
            values += size
            done = _Collection(None, values)
        if size:
            opened[-1].depth = max(opened[-1].depth, depth)
            if done.anchor:
                known[done.anchor] = (size, depth)
        _check_totals(event, values, len(opened) - 1 + depth)


def _check_totals(event: yaml.Event, values: int, depth: int) -> None:
    if values > MAX_VALUES:
        raise _refused(event, f"expected at most {MAX_VALUES:,} values, aliases counted wherever they are used")
    if depth > MAX_DEPTH:
        raise _refused(event, f"expected at most {MAX_DEPTH} levels of nesting, got more")


def _check_number(event: yaml.ScalarEvent) -> None:
    """Refuses numbers that take long to build; text in quotes may look as it likes."""
    plain = event.implicit[0] or str(event.tag).endswith((":int", ":float"))
    long = len(event.value) > MAX_DIGITS and _NUMBER.fullmatch(event.value)
    if plain and (long or _HUGE_EXPONENT.fullmatch(event.value)):
        raise _refused(event, f"expected a number of at most {MAX_DIGITS} digits, got {event.value[:10]}…")


def _refused(event: yaml.Event, problem: str) -> yaml.YAMLError:
    mark: Any = event.start_mark
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"expected a number of at most {MAX_DIGITS} digits, got {digits[:10]}…")
    return int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} is given twice")
        found[key] = value
    return found


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
