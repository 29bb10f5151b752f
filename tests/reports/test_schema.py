"""docs/records.md says what the records are, field by field."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from hrvlm.reports.schema import field_table, record_kinds, schema_version, with_tables
from hrvlm.rows.record import Record

DOCUMENT = Path(__file__).parents[2] / "docs" / "records.md"


def test_the_document_is_made_from_the_records() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run: python -m hrvlm.reports.schema docs/records.md"


def test_every_kind_and_field_and_version_is_named() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    kinds = record_kinds()
    assert {"smoothing", "semantic", "profile", "joint", "robustness"} <= set(kinds)
    for kind, record in kinds.items():
        section = text.partition(f"## `{kind}`")[2].partition("\n## ")[0]
        assert all(f"| `{field.name}` |" in section for field in fields(record)), kind
        assert schema_version(record) == 1
    assert "`schema` is 1." in text


def test_a_field_without_description_and_a_kind_without_section_are_errors() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Undescribed(Record):
        """Has a field that nobody describes."""

        extra: int

    with pytest.raises(ValueError, match="describe 'extra'"):
        field_table(Undescribed)
    with pytest.raises(ValueError, match="expected a section with the marks"):
        with_tables("# Records\n")
