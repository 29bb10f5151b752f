"""The schema of all rows as a document, made from the records themselves.

`python -m hrvlm.reports.schema docs/records.md` writes the tables of fields into that file anew.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from hrvlm.attacks.records import SCHEMA as ROBUSTNESS_SCHEMA
from hrvlm.attacks.records import RobustnessRecord
from hrvlm.certificates.kinds.registry import kinds
from hrvlm.rows.record import SCHEMA, Record, row_fields

START, END = "<!-- fields of {kind}, made by hrvlm.reports.schema -->", "<!-- end of {kind} -->"


def record_kinds() -> dict[str, type]:
    """All kinds of records, by the word that rows have under "kind"."""
    return {kind.name: kind.record for kind in kinds()} | {RobustnessRecord.kind: RobustnessRecord}


def schema_version(kind: type) -> int:
    """What rows of a kind have under "schema"."""
    return SCHEMA if issubclass(kind, Record) else ROBUSTNESS_SCHEMA


def field_table(kind: type) -> str:
    """Fields of a kind as a table in Markdown: name, type, since when, meaning.

    Raises:
        ValueError: If a field is not described in the docstring of its class.
    """
    meanings: dict[str, str] = {}
    for part in reversed(kind.__mro__):
        meanings |= _attributes(part.__doc__ or "")
    added: frozenset[str] = getattr(kind, "added", frozenset())
    unknown = getattr(kind, "unknown", {})
    lines = ["| field | type | meaning |", "| --- | --- | --- |"]
    for field in row_fields(kind):
        if field.name not in meanings:
            raise ValueError(f"expected the docstring of {kind.__name__} to describe {field.name!r}")
        lines.append(
            f"| `{field.name}` | {_type(field, unknown)} | {_cell(meanings[field.name])}{_since(field, added)} |"
        )
    return "\n".join(lines)


def _attributes(docstring: str) -> dict[str, str]:
    """Entries of the section "Attributes" of a Google docstring."""
    _, _, section = docstring.partition("Attributes:\n")
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {9,}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _type(field: Field[Any], unknown: Iterable[str]) -> str:
    null = " | None" if field.name in unknown else ""
    return _cell(f"`{field.type}{null}`".replace(" | None", "` or `null"))


def _since(field: Field[Any], added: frozenset[str]) -> str:
    if field.name not in added or field.default is MISSING:
        return ""
    return f" *Added later; rows without it have `{field.default}`.*".replace("`None`", "`null`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def with_tables(text: str) -> str:
    """A document with the table of every kind put between its marks.

    Raises:
        ValueError: If the marks of a kind are missing.
    """
    for kind, record in record_kinds().items():
        start, end = START.format(kind=kind), END.format(kind=kind)
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"expected a section with the marks {start!r} and {end!r} for rows of this kind")
        text = f"{before}{start}\n{field_table(record)}\n{end}{after}"
    return text


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(with_tables(document.read_text(encoding="utf-8")), encoding="utf-8")
