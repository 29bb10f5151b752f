"""Rows as a frame of pandas or polars, whichever is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

Library: TypeAlias = Literal["pandas", "polars"]
LIBRARIES: tuple[Library, ...] = ("pandas", "polars")
_NESTED = (list, tuple)


def to_frame(rows: Iterable[Any], library: Library | None = None) -> Any:
    """Rows of any kind, or metrics, as a frame: one line per row, one column per field.

    Args:
        rows: as mappings, or records. Rows of several kinds have the fields of all; what a row lacks is missing there.
        library: whose frame; None takes pandas, or polars where that alone is installed.

    Returns:
        A `pandas.DataFrame`, whose cells hold what rows hold, lists included; or a `polars.DataFrame`, where lists of
        unlike values (the intervals of a semantic row: begin, end, class) are structures with numbered fields, as in
        Parquet files of `certify.py export`.

    Raises:
        ValueError: if the library is not installed, or there are no rows.
    """
    module = _module(library)
    found = [dict(row) if isinstance(row, Mapping) else row.to_row() for row in rows]
    if not found:
        raise ValueError("expected rows for a frame, got none")
    names = list(dict.fromkeys(name for row in found for name in row))
    columns = {name: [row.get(name) for row in found] for name in names}
    if module.__name__ == "pandas":
        return module.DataFrame(columns)
    numbered = {name: _numbered(values) for name, values in columns.items()}
    return module.DataFrame(numbered, infer_schema_length=None)


def _module(library: Library | None) -> Any:
    if library is not None and library not in LIBRARIES:
        raise ValueError(f"expected library pandas or polars, got {library!r}")
    wanted = LIBRARIES if library is None else (library,)
    for name in wanted:
        if find_spec(name) is not None:
            return import_module(name)
    hints = " or ".join(f'pip install "hrvlm[{name}]"' for name in wanted)
    raise ValueError(f"expected {' or '.join(wanted)} for a frame, got none: {hints}")


def _numbered(values: Sequence[Any]) -> list[Any]:
    """A column whose lists hold values of one type each: those of unlike ones as structures, throughout the column."""
    if not any(isinstance(value, _NESTED) for value in values):
        return list(values)
    inner = [part for value in values if value is not None for part in value]
    if not any(isinstance(part, _NESTED) for part in inner):
        return list(values)
    types = {tuple(map(type, part)) for part in inner if part is not None}
    unlike = any(len(set(kinds) - {type(None)}) > 1 for kinds in types)
    if not unlike:
        return list(values)
    return [None if value is None else [_structure(part) for part in value] for value in values]


def _structure(part: Any) -> Any:
    """Numbered fields of a list of unlike values, and of lists among them."""
    if not isinstance(part, _NESTED):
        return part
    return {str(place): _structure(item) for place, item in enumerate(part)}
