"""Rows in the forms that other tools read: tab-separated files as of Cohen et al., and Parquet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import astuple

from hrvlm.certificates.kinds.registry import kinds, record_from_row
from hrvlm.certificates.kinds.report import report_of
from hrvlm.rows.record import SCHEMA, Record, Row, row_fields
from hrvlm.rows.tab_separated import read_tsv
from hrvlm.whole_files import whole_file

ZERO_SHOT = "zero_shot"
__all__ = ["field_types", "read_parquet", "read_tsv", "to_tsv", "write_parquet"]


def to_tsv(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Tables in the form of the code of Cohen et al., ICML 2019, of the kinds of certificate that have that form.

    The column time is empty: rows hold no times.

    Args:
        rows: rows of all kinds.

    Returns:
        Texts by file name, such as "smoothing.emoji_unicode.1.tsv".

    Raises:
        ValueError: if there is no row of such a kind.
    """
    able = {kind.name: kind for kind in kinds() if report_of(kind).tab_separated([]) is not None}
    found: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        if row.get("kind") in able:
            found[row["kind"]].append(record_from_row(row))
    if not found:
        names = " or ".join(able)
        raise ValueError(f"expected {names} rows for a tab-separated export, got none; export to parquet instead")
    tables = [report_of(able[name]).tab_separated(records) or {} for name, records in found.items()]
    return {name: text for texts in tables for name, text in sorted(texts.items())}


def write_parquet(rows: Iterable[Mapping[str, Any]], folder: str | Path) -> list[Path]:
    """One Parquet file per kind of row, with the types of the record's fields; nothing is lost.

    Returns:
        The files, such as `smoothing.parquet`.

    Raises:
        ValueError: If pyarrow is not installed or a row does not fit its kind.
    """
    pyarrow, parquet = _pyarrow()
    kinds: dict[str, list[Any]] = defaultdict(list)
    for row in map(dict, rows):
        record = _record(row)
        kinds[record.kind].append(record)
    Path(folder).mkdir(parents=True, exist_ok=True)
    written = []
    for kind, records in sorted(kinds.items()):
        hints = field_types(type(records[0]))
        unknown = set() if all(record.labelled for record in records) else set(records[0].unknown)
        schema = pyarrow.schema(
            [
                pyarrow.field(name, _arrow(pyarrow, hint), nullable=_optional(hint) or name in unknown)
                for name, hint in hints.items()
            ],
            metadata={"kind": kind, "schema": str(SCHEMA)},
        )
        table = pyarrow.Table.from_pylist([_columns(record, hints) for record in records], schema=schema)
        path = Path(folder) / f"{kind}.parquet"
        with whole_file(path) as new:
            parquet.write_table(table, new)
        written.append(path)
    return written


def read_parquet(path: str | Path) -> list[Row]:
    """The rows of one such file, as they were.

    Raises:
        ValueError: If pyarrow is not installed.
    """
    table = _pyarrow()[1].read_table(path)
    kind = table.schema.metadata[b"kind"].decode()
    schema = int(table.schema.metadata[b"schema"])
    found = ({"kind": kind, "schema": schema} | {k: _plain(v) for k, v in row.items()} for row in table.to_pylist())
    return [_record(row).to_row() for row in found]


def _record(row: Row) -> Any:
    """The record of a row, of a certificate or of zero-shot evaluation."""
    if row.get("kind") != ZERO_SHOT:
        return record_from_row(row)
    from hrvlm.evaluation.zero_shot.records import ZeroShotRecord  # with libraries that certificates do not need

    return ZeroShotRecord.from_row(row)


def field_types(record: type) -> dict[str, Any]:
    """Types of a record's fields, in the order of its rows."""
    hints = get_type_hints(record)
    return {field.name: hints[field.name] for field in row_fields(record)}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError('expected pyarrow for Parquet files, got none: pip install "hrvlm[parquet]"') from error
    return pyarrow, parquet


def _optional(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)


def _required(hint: Any) -> Any:
    """The type of a field where it is not null; of a kind of tuple, or of a struct, the tuple of its values."""
    if _optional(hint):
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if hasattr(hint, "_fields") or hasattr(hint, "__struct_fields__"):
        return tuple[tuple(get_type_hints(hint).values())]  # type: ignore[misc]
    bases = getattr(hint, "__orig_bases__", ()) if isinstance(hint, type) else ()
    return next((base for base in bases if get_origin(base) is tuple), hint)


def _arrow(pyarrow: Any, hint: Any) -> Any:
    """Arrow's type for the type of a field; a tuple of unlike numbers is a structure with numbered fields."""
    hint = _required(hint)
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if parts[-1] is Ellipsis:
            return pyarrow.list_(_arrow(pyarrow, parts[0]))
        return pyarrow.struct([(str(place), _arrow(pyarrow, part)) for place, part in enumerate(parts)])
    if get_origin(hint) is Literal:
        return pyarrow.string()
    plain = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    return plain[hint]


def _columns(record: Any, hints: Mapping[str, Any]) -> Row:
    found = {name: _structured(getattr(record, name), hint) for name, hint in hints.items()}
    return found if record.labelled else found | dict.fromkeys(record.unknown)


def _structured(value: Any, hint: Any) -> Any:
    hint = _required(hint)
    if value is None or get_origin(hint) is not tuple:
        return value
    parts = get_args(hint)
    if parts[-1] is Ellipsis:
        return [_structured(item, parts[0]) for item in value]
    items = astuple(value) if isinstance(value, Struct) else value
    return {str(place): _structured(item, part) for place, (item, part) in enumerate(zip(items, parts, strict=True))}


def _plain(value: Any) -> Any:
    """Structures as lists again."""
    if isinstance(value, dict):
        return [_plain(item) for item in value.values()]
    return [_plain(item) for item in value] if isinstance(value, list) else value
