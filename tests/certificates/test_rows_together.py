"""Rows that are verified together, and those that are verified one by one: the same is found, whatever is altered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_records import semantics, smoothing

from hrvlm.certificates import SmoothingRecord, summarise
from hrvlm.certificates.kinds import summary
from hrvlm.certificates.kinds.smoothing.record import VARYING
from hrvlm.certificates.kinds.verify import CERTIFICATES
from hrvlm.certificates.statistics.claim import SAME, SEPARATE, derive, derive_all
from hrvlm.reports.collecting import Certificates
from hrvlm.reports.html import render_report
from hrvlm.rows.agreement import Problem
from hrvlm.rows.images import Found
from hrvlm.rows.record import Record, statement
from hrvlm.rows.table import RecordTable
from hrvlm.rows.together import none_together
from hrvlm.rows.verifying import APART, Header, Verifier

IMAGES, CHANGED = 60, 85
HEADER = Header(num_images=IMAGES, data_size=IMAGES)
Row = dict[str, Any]


def rows() -> list[Row]:
    """Of two levels, of some classes, right and wrong, certified or not."""
    return [
        smoothing(i, level=k, count=(95, 100, 50)[i % 3] - k, label=(i % 4) // (k + 1), prediction=1).to_row()
        for i in range(IMAGES)
        for k in range(2)
    ]


def found(rows: list[Row], *, alone: bool = False) -> tuple[list[str], int]:
    """Problems, and how many rows were verified together."""
    rules = replace(CERTIFICATES, together=none_together) if alone else CERTIFICATES
    verifier = Verifier(rules, HEADER, complete=True)
    images: dict[int, list[Any]] = {}
    for number, row in enumerate(rows):
        images.setdefault(row["index"], []).append((f"line {number}", json.dumps(row).encode()))
    tables: list[RecordTable[Record]] = []
    problems = [
        *verifier.images(images.values(), lambda each: tables.append(each) if isinstance(each, RecordTable) else None)
    ]
    assert verifier.count == len(rows)
    return sorted(map(said, [*problems, *verifier.finish()])), sum(map(len, tables))


def test_a_summary_is_the_same_where_records_become_tables_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [*rows(), *(record.to_row() for record in semantics(3)[0])]
    whole = summarise(given, (0.0, 0.1))
    made, table = list[int](), RecordTable.of
    monkeypatch.setattr(RecordTable, "of", lambda found, varying: made.append(len(found)) or table(found, varying))
    monkeypatch.setattr(summary, "TOGETHER", 7)
    assert summarise(given, (0.0, 0.1)) == whole
    assert made[:3] == [7, 7, 7]


def test_records_of_few_images_are_held_where_some_are_verified_together_and_others_are_not() -> None:
    held = list[int]()
    rules = replace(CERTIFICATES, sound=lambda records: held.append(len(records)) or ())
    other = semantics(1)[0][0].to_row()
    given = [smoothing(i, level=0, count=95, label=0, prediction=1).to_row() for i in range(200)]
    given += [other | {"index": i} for i in range(200, 400)]
    lines = [[(f"line {row['index']}", json.dumps(row).encode())] for row in given]
    assert not [*Verifier(rules).images(lines)]
    assert sum(held) < 210
    assert max(held) == APART


def said(problem: Problem) -> str:
    return f"{problem.key} {problem.field} {problem.claims_too_much} {problem.message}"


def alterations(row: Row) -> Iterator[Row]:
    """A row with one field otherwise, or with several that fit each other."""
    for name, value in row.items():
        if isinstance(value, bool):
            yield row | {name: not value}
        elif isinstance(value, int):
            yield from (row | {name: value + more} for more in (1, -1, 1000))
        elif isinstance(value, float):
            yield from (row | {name: value * factor} for factor in (1 + 1e-6, 1 - 1e-6, 0.5))
        elif isinstance(value, str):
            yield row | {name: value + "x"}
        yield row | {name: None}
    yield row | {"label": None, "correct": None}
    yield row | {"prediction": -1, "correct": False}
    yield row | {"prediction": -1, "correct": False, "selection_count": 0, "count": 0}
    yield row | {"split": SAME, "n0": 0, "selection_count": 0}
    yield smoothing(row["index"], level=row["level"], count=99, label=row["label"], prediction=0).to_row()


def test_what_is_altered_is_found_together_as_it_is_alone() -> None:
    plain = rows()
    problems, together = found(plain)
    assert problems == []
    assert together > IMAGES
    some = list(alterations(plain[CHANGED]))
    assert len(some) > 80
    for row in some:
        altered = [*plain[:CHANGED], row, *plain[CHANGED + 1 :]]
        assert found(altered)[0] == found(altered, alone=True)[0], row


@pytest.mark.parametrize("name", ["count", "selection_count"])
def test_counts_beyond_all_samples_are_found_together(name: str) -> None:
    """Beside copies that are invalid: their sum leaves 64 bits, and would come back as less than nothing."""
    invalid = {"invalid": 3, "invalid_selection": 3, "selection_count": 7}
    plain = [smoothing(i, level=k, count=96 - i % 5, **invalid).to_row() for i in range(IMAGES) for k in range(2)]
    assert found(plain) == ([], found(plain)[1])
    altered = [*plain[:CHANGED], plain[CHANGED] | {name: 2**63 - 2}, *plain[CHANGED + 1 :]]
    problems, together = found(altered)
    assert problems == found(altered, alone=True)[0]
    assert any(" count True counts do not fit" in problem for problem in problems)
    assert together > IMAGES


def test_a_radius_that_is_too_large_for_a_number_is_found_together() -> None:
    """A derived radius that is infinite is close to no stated one."""

    def of(count: int, radius: float | None = None) -> dict[str, Any]:
        claim = derive("clopper-pearson", SEPARATE, count=count, runner_up=None, n=100, alpha=0.005, sigma=1.7e308)
        return {"count": count, "sigma": 1.7e308, "radius": claim.radius if radius is None else radius}

    plain = [smoothing(i, level=k, **of(70 + i % 5)).to_row() for i in range(IMAGES) for k in range(2)]
    assert found(plain)[0] == []
    with np.errstate(over="ignore"):
        more = smoothing(CHANGED // 2, level=CHANGED % 2, **of(100, 1e308)).to_row()
        altered = [*plain[:CHANGED], more, *plain[CHANGED + 1 :]]
        problems = found(altered)[0]
        assert problems == found(altered, alone=True)[0]
    assert any(" radius False states radius 1e+308, less than the derived inf" in problem for problem in problems)


def other_kind(count: int) -> Iterator[list[Found]]:
    """Images with rows of a kind that is verified one by one."""
    record = semantics(1)[0][0]
    for index in range(count):
        yield [(f"line {index}", json.dumps(replace(record, index=index).to_row()).encode())]


def test_a_run_without_rows_of_a_kind_lacks_none() -> None:
    verifier = Verifier(CERTIFICATES, HEADER, complete=True)
    assert list(verifier.images(other_kind(IMAGES))) == []
    assert list(verifier.finish()) == []


def test_few_images_are_held_where_none_is_verified_together() -> None:
    read, told, most = 0, 0, 0

    def counted() -> Iterator[list[Found]]:
        nonlocal read, most
        for image in other_kind(300):
            read, most = read + 1, max(most, read + 1 - told)
            yield image

    def collect(_: Any) -> None:
        nonlocal told
        told += 1

    assert list(Verifier(CERTIFICATES).images(counted(), collect)) == []
    assert told == 300
    assert most <= 64


@pytest.mark.parametrize("lacking", [slice(70, 71), slice(71, 72), slice(70, 72)])
def test_rows_that_lack_or_are_there_twice_are_found(lacking: slice) -> None:
    plain = rows()
    for altered in ([*plain[: lacking.start], *plain[lacking.stop :]], [*plain, *plain[lacking]]):
        problems, together = found(altered)
        assert problems == found(altered, alone=True)[0]
        assert problems
        assert together > IMAGES


@pytest.mark.parametrize("split", [SEPARATE, SAME])
@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_claims_of_many_counts_are_those_of_each(split: str, threshold: float) -> None:
    counts = np.array([0, 3, 50, 51, 99, 100, 100])
    told: dict[str, Any] = {"n": 100, "alpha": 0.01, "sigma": 0.5, "threshold": threshold}
    each = [derive("clopper-pearson", split, count=int(count), runner_up=None, **told) for count in counts]
    lower, radius = derive_all(split, counts=counts, **told)
    np.testing.assert_allclose(lower, [claim.lower for claim in each], rtol=1e-14)
    np.testing.assert_allclose(radius, [claim.radius for claim in each], rtol=1e-14)


def test_a_table_has_its_records() -> None:
    records = [SmoothingRecord.from_row(row) for row in rows()]
    table = RecordTable.of(records, VARYING)
    assert list(table) == records
    assert len(table.examples) < 10
    assert (table[3], table[-1], list(table[4:9])) == (records[3], records[-1], records[4:9])
    with pytest.raises(IndexError):
        table[len(records)]
    assert table.column("level").tolist() == [record.level for record in records]
    assert table.distinct("count") == {record.count for record in records}
    assert table.where(table.column("count") == 95).distinct("abstain") == {False}
    assert table.repeated(statement) is None
    both = RecordTable.joined([table[60:], table[:60], table[5:6]])
    assert both.repeated(statement) == records[5]
    assert list(both.in_order(statement)) == [*records[:6], records[5], *records[6:]]
    assert {level: list(group) for level, group in table.groups("level").items()} == {0: records[::2], 1: records[1::2]}


def test_a_page_of_many_rows_is_the_one_of_their_records(tmp_path: Path) -> None:
    some = [row | {"label": None, "correct": None} if row["index"] == 40 else row for row in rows()]
    path = tmp_path / "certificates.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    many, few = Certificates.of_files([path]), Certificates.of_rows(some)
    assert isinstance(many.by_kind["smoothing"], RecordTable)
    assert list(many) == list(few)
    assert render_report(many) == render_report(few)
