"""What every kind of certificate must do, whatever it certifies: a kind without an entry in `kind_examples` fails."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree

import pytest
from kind_examples import EXAMPLES, Example
from row_alterations import odd_values, other_words
from test_altered_rows import raised

from hrvlm.certificates import RecordWriter, record_from_row, summarise, verify_rows
from hrvlm.certificates.kinds.interface import SOURCES, Kind
from hrvlm.certificates.kinds.registry import REGISTRY, kind_named, read_record, row_key
from hrvlm.certificates.kinds.report import report_of
from hrvlm.certificates.kinds.summary import scalars
from hrvlm.reports.certificates import certificate_tables, guarantees
from hrvlm.reports.exporting import read_parquet, to_tsv, write_parquet
from hrvlm.reports.html import render_report
from hrvlm.reports.schema import field_table
from hrvlm.rows.measures import Measure
from hrvlm.rows.record import SCHEMA
from hrvlm.rows.strict import RowError, strict_reader

Row = dict[str, Any]
DOCUMENT = Path(__file__).parents[2] / "docs" / "records.md"
UNKNOWN = "## What a row alone cannot show"
RADII = [0.0, 0.1]
_made: dict[Callable[[], list[Row]], list[Row]] = {}


@pytest.fixture(params=REGISTRY)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def example(name: str) -> Example:
    assert name in EXAMPLES, f"expected an entry for {name!r} in tests/certificates/kind_examples.py, got none"
    return EXAMPLES[name]


def rows_of(name: str, which: str = "rows") -> list[Row]:
    """Rows of an example, made once, as a file gives them."""
    make = getattr(example(name), which)
    if make not in _made:
        _made[make] = json.loads(json.dumps(make()))
    return [dict(row) for row in _made[make]]


def test_the_examples_are_runs_of_several_images(name: str) -> None:
    for which in ("rows", "abstaining"):
        rows = rows_of(name, which)
        assert {row["kind"] for row in rows} == {name}
        assert len({row["index"] for row in rows}) > 2
        assert verify_rows(rows, complete=True) == []
    assert any(row["reason"] is None for row in rows_of(name))
    assert all(row["reason"] for row in rows_of(name, "abstaining"))


def test_rows_come_back_from_json_and_parquet(name: str, tmp_path: Path) -> None:
    for which in ("rows", "abstaining"):
        rows = rows_of(name, which)
        records = [record_from_row(row) for row in rows]
        assert [record.to_row() for record in records] == [record_from_row(row).to_row() for row in rows]
        assert json.loads(json.dumps([record.to_row() for record in records])) == rows
        assert [read_record(json.dumps(row).encode()) for row in rows] == records
        (path,) = write_parquet(rows, tmp_path / which)
        assert path.name == f"{name}.parquet"
        assert json.dumps(read_parquet(path)) == json.dumps(rows)  # order and types of values as well


def test_the_bytes_of_rows_are_in_the_order_of_the_document(name: str, tmp_path: Path) -> None:
    records = [record_from_row(row) for row in rows_of(name)]
    with RecordWriter(tmp_path / "rows.jsonl") as writer:
        writer.write(records)
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    documented = re.findall(r"^\| `(\w+)` \|", section(name), flags=re.MULTILINE)
    for line, record in zip(lines, records, strict=True):
        left_out = {field.name for field in fields(record) if getattr(record, field.name) == field.default}
        order = ["kind", "schema", *(n for n in documented if n not in record.unsaid & left_out)]
        assert list(json.loads(line)) == order
        assert json.dumps(read_record(line.encode()).to_row(), ensure_ascii=False) == line


def test_rows_of_other_fields_are_refused(name: str) -> None:
    row, record = rows_of(name)[0], kind_named(name).record
    for wrong in ({**row, "extra": 1}, {**row, "schema": SCHEMA + 1}):
        with pytest.raises(RowError, match="expected"):
            record_from_row(wrong)
    for lacking in set(row) - record.added:
        with pytest.raises(RowError, match="expected"):
            record_from_row({key: value for key, value in row.items() if key != lacking})


def test_keys_tell_rows_apart_and_belong_to_their_image(name: str) -> None:
    rows = rows_of(name)
    keys = [row_key(row) for row in rows]
    assert len(set(keys)) == len(rows)
    assert [key[:2] for key in keys] == [(name, row["index"]) for row in rows]
    assert len({key[2:] for key in keys}) < len(keys)  # statements recur from image to image


def test_altered_rows_are_caught_field_by_field(name: str) -> None:
    """Other types, other words, other numbers: whatever the field, but for those that the document names."""
    reader = strict_reader(kind_named(name).record, SCHEMA)
    assert unnoticed_fields(name, odd_values) <= example(name).texts
    assert unnoticed_fields(name, lambda row: other_words(row, reader)) == set()
    assert unnoticed_fields(name, raised_numbers) <= unchecked(name) | example(name).partly
    assert not unchecked(name) & {"alpha", "alpha_share", "sigma", "radius", "lower", "threshold", "correct"}


def unnoticed_fields(name: str, changes: Callable[[Row], Iterator[tuple[str, Any]]]) -> set[str]:
    """Fields of a certifying row that can be altered without a finding, in a finished run of few images."""
    rows = rows_of(name)
    place = next(place for place, row in enumerate(rows) if row["reason"] is None)
    others = {row["index"] for row in rows if row["index"] != rows[place]["index"]}
    kept = {rows[place]["index"], min(others)}

    def verified(field: str, value: Any) -> list[Any]:
        changed = [row | {field: value} if number == place else row for number, row in enumerate(rows)]
        return verify_rows([row for row, old in zip(changed, rows, strict=True) if old["index"] in kept], complete=True)

    return {field for field, value in changes(rows[place]) if not verified(field, value)}


def raised_numbers(row: Row) -> Iterator[tuple[str, Any]]:
    for field in set(row) - {"kind", "schema"}:
        yield from ((field, value) for _, value in raised(row[field]))


def section(name: str) -> str:
    """What the document says of rows of a kind."""
    return DOCUMENT.read_text(encoding="utf-8").partition(f"\n## `{name}`")[2].partition("\n## ")[0]


def unchecked(name: str) -> set[str]:
    """Fields of which the document says that no row alone can prove them."""
    text = DOCUMENT.read_text(encoding="utf-8").partition(UNKNOWN)[2]
    lines = [line for line in text.splitlines() if line.startswith(f"* `{name}`")]
    assert len(lines) == 1, f"expected a line for {name!r} under {UNKNOWN!r}"
    return set(re.findall(r"`(\w+)`", lines[0].partition(", and ")[0])) - {name}


def test_the_document_has_a_section(name: str) -> None:
    assert field_table(kind_named(name).record) in section(name)
    assert unchecked(name)


def test_summaries_do_not_depend_on_the_order_of_rows_and_can_be_written(name: str) -> None:
    for which in ("rows", "abstaining"):
        rows = rows_of(name, which)
        summary = summarise(rows, RADII)
        assert summary == summarise([record_from_row(row) for row in reversed(rows)], RADII)
        assert set(filter(summary.get, summary)) - {"invalid"} == {name}
        assert json.loads(json.dumps(summary, allow_nan=False)) == json.loads(json.dumps(summary))


def test_loggers_get_numbers_of_the_summary(name: str) -> None:
    for which in ("rows", "abstaining"):
        summary = summarise(rows_of(name, which), RADII)
        logged = scalars(summary, "label")
        assert bool(logged) == (kind_named(name).source in SOURCES)  # others are not certified while training
        for key, number in logged.items():
            label, kind, *path = key.split("/")
            assert (label, kind) == ("label", name)
            assert math.isfinite(number)
            assert number in numbers_at(summary[name], path)


def test_models_are_compared_by_averages_of_the_summary(name: str) -> None:
    for which in ("rows", "abstaining"):
        rows = rows_of(name, which)
        found: dict[Measure, dict[int, float]] = defaultdict(dict)
        for record in map(record_from_row, rows):
            for measure, value in kind_named(name).measures(record.slim(), RADII):
                assert found[measure].setdefault(record.index, value) == value
                assert measure.unit == "number" or 0 <= value <= 1 + 1e-9
        assert found
        numbers = numbers_at(summarise(rows, RADII)[name], [])
        for measure, values in found.items():
            assert len(values) == len({row["index"] for row in rows})
            assert any(math.isclose(fmean(values.values()), number, abs_tol=1e-12) for number in numbers), measure


def numbers_at(found: Any, path: list[str]) -> list[float]:
    """Numbers of the part of a summary that a path leads to, as far as it does."""
    while path and isinstance(found, dict) and path[0] in found:
        found, path = found[path[0]], path[1:]
    if isinstance(found, dict):
        return [number for value in found.values() for number in numbers_at(value, [])]
    return [found] if isinstance(found, int | float) else []


def test_words_tables_and_figures_are_made(name: str) -> None:
    for which in ("rows", "abstaining"):
        rows = rows_of(name, which)
        records = [record_from_row(row).slim() for row in rows]
        report = report_of(kind_named(name))
        ((heading, sentences),) = guarantees(records)
        assert heading == report.heading
        assert sentences
        assert all(sentence.endswith((".", ":")) for sentence in sentences)
        (table,) = certificate_tables(summarise(rows, RADII))
        assert table.row_count > 0
        for picture in report.figures(records):
            assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert report.largest_radius(records) >= 0
        cells = [cell for record in records for cell in report.judged(record)]
        assert {cell.tree for cell in cells} <= {record.tree for record in records}
        assert cells
        page = render_report(rows)
        assert f'<section id="{name}"><h2>{heading}</h2>' in page
        assert "every claim holds" in page


def test_nothing_is_made_of_nothing(name: str) -> None:
    kind: Kind[Any] = kind_named(name)
    assert not kind.summarise([], RADII)
    assert list(kind.scalars({})) == []
    assert report_of(kind).table({}).row_count == 0
    assert report_of(kind).largest_radius([]) == 0
    assert certificate_tables(summarise([], RADII)) == []
    assert verify_rows([], complete=True) == []


def test_tab_separated_tables_are_of_the_kinds_that_have_them(name: str) -> None:
    able = report_of(kind_named(name)).tab_separated([]) is not None
    if able:
        assert all(table.startswith(f"{name}.") for table in to_tsv(rows_of(name)))
    else:
        with pytest.raises(ValueError, match="for a tab-separated export, got none"):
            to_tsv(rows_of(name))


def test_a_kind_without_an_example_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(EXAMPLES) == set(REGISTRY)
    monkeypatch.setitem(REGISTRY, "toy", "toy_kind:KIND")
    with pytest.raises(AssertionError, match="expected an entry for 'toy'"):
        test_words_tables_and_figures_are_made("toy")
