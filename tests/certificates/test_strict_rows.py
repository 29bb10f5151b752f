"""One row of a run, altered in one field to another type or another word, is found; whatever the field."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from row_alterations import odd_values, other_words, unnoticed, words_of
from run_examples import RUNS
from test_altered_rows import raised

from hrvlm.certificates import record_from_row, verify_rows
from hrvlm.certificates.kinds.registry import kinds, read_record
from hrvlm.rows.lines import row_of
from hrvlm.rows.record import SCHEMA
from hrvlm.rows.strict import RowError, strict_reader

Rows = list[dict[str, Any]]

KINDS = {kind.name: kind.record for kind in kinds()}


def verify(rows: Rows) -> list[Any]:
    """Problems of the rows of a finished run."""
    return verify_rows(rows, complete=True)


@pytest.fixture(scope="module", params=RUNS)
def rows(request: pytest.FixtureRequest) -> Rows:
    made = json.loads(json.dumps(RUNS[request.param]()))
    assert verify(made) == []
    assert len(made) > 2
    return made


def test_values_of_other_types_are_found(rows: Rows) -> None:
    some = [*rows[:2], rows[-1]]
    left = unnoticed(some, verify_rows, odd_values)
    # Examples of answers and what they are compared with may be anything, also nothing.
    assert {name for name, _ in left} <= {"answer", "anchor", "top_k", "top_p"}
    assert {value for _, value in left} <= {"''", "None"}


def test_other_words_are_found(rows: Rows) -> None:
    reader = strict_reader(KINDS[rows[0]["kind"]], SCHEMA)
    assert unnoticed(rows, verify, lambda row: other_words(row, reader)) == set()


def test_a_bad_row_is_named_and_hides_nothing(rows: Rows) -> None:
    number = max(range(len(rows)), key=lambda n: rows[n]["index"])
    other = next(n for n in range(len(rows)) if rows[n]["index"] != rows[number]["index"])
    wrong = [dict(row) for row in rows]
    wrong[other] |= {"correct": not rows[other]["correct"]}
    wrong[number] |= {"index": [1]}
    found = verify_rows(wrong)
    assert any(f"row {number + 1}: expected index" in problem.message for problem in found)
    assert any(problem.field == "correct" for problem in found)


def test_emptied_lists_are_findings(rows: Rows) -> None:
    """Whatever a list lacks, the row that lacks it is named, and nothing is looked up in it."""
    for number, row in enumerate(rows[:4]):
        for name in (name for name, value in row.items() if isinstance(value, list) and value):
            wrong = [*rows[:number], row | {name: []}, *rows[number + 1 :]]
            assert verify(wrong), name


def test_lines_are_read_as_rows_are(rows: Rows) -> None:
    for row in rows:
        line = json.dumps(row, ensure_ascii=False).encode()
        assert read_record(line) == record_from_row(row)
        whole = {name: int(value) if value == 0.0 else value for name, value in row.items() if isinstance(value, float)}
        assert record_from_row(row | whole) == record_from_row(row)  # 0 is a number as well


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("NaN", "expected a JSON object"),
        ("Infinity", "expected a JSON object"),
        ("1e999", "expected a JSON object"),
        ("9" * 5000, "expected"),
        ("[" * 5000, "expected a JSON object"),
        ('"\\ud800"', "expected a JSON object"),
        ("{}", "expected sigma as"),
    ],
)
def test_lines_that_python_would_stumble_over_are_one_sentence(text: str, sentence: str) -> None:
    row = RUNS["smoothing, split"]()[0]
    line = re.sub(r'"sigma": [^,]+', lambda found: f'"sigma": {text}', json.dumps(row))
    with pytest.raises(RowError, match="expected") as caught:
        read_record(line.encode())
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_range_or_is_a_text(kind: str) -> None:
    """A field that is added gets a type of its own, or has the strict one of its dataclass."""
    types = strict_reader(KINDS[kind], SCHEMA).struct.__annotations__
    free = {"class_name", "prompt", "anchor", "answer", "source_prompt", "target_prompt", "node_names"}
    for field in fields(KINDS[kind]):
        plain = types[field.name] in (int, float, str)
        assert not plain or field.name in free, field.name


def test_the_words_of_a_claim_are_enumerated() -> None:
    words = Counter(
        name
        for kind in KINDS.values()
        for name, hint in strict_reader(kind, SCHEMA).struct.__annotations__.items()
        if words_of(hint)
    )
    assert {
        "float_mode",
        "split",
        "method",
        "functions_chosen",
        "scorer",
        "target_kind",
        "precision",
        "decision",
    } <= set(words)
    assert words["float_mode"] == 4


def test_numbers_are_read_exactly() -> None:
    row = RUNS["smoothing, split"]()[0]
    for number in (0.1, 1e-300, 123456789.123456789, 5e-324, 2.2250738585072011e-308, 0.30000000000000004):
        line = json.dumps(row | {"sigma": number})
        assert read_record(line.encode()).to_row()["sigma"] == number
        assert record_from_row(row_of(line.encode())).to_row()["sigma"] == number


@pytest.mark.parametrize("run", ["profile", "profile, fixed radii"])
def test_raised_numbers_of_profiles_are_found(run: str) -> None:
    """Counts beyond what a fixed radius needs bear on nothing; of a few images not all nodes are known to two rows."""
    rows = json.loads(json.dumps(RUNS[run]()))
    place = next(n for n, row in enumerate(rows) if row["reason"] is None and n > 1)
    left = unnoticed(rows[place - 2 : place + 4], verify_rows, raised_numbers)
    allowed = {"index", "invalid_selection", "chain", "labels"} | (
        {"counts", "invalid"} if "fixed" in run else {"invalid"}
    )
    assert {name for name, _ in left} <= allowed


def raised_numbers(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name != "schema":
            yield from ((name, changed) for _, changed in raised(value))


@pytest.mark.parametrize(
    "change", [{"num_statements": math.nan}, {"label_functions": 0}, {"label_functions": math.nan}]
)
def test_alpha_of_a_profile_is_checked_whatever_else_is_altered(change: dict[str, Any]) -> None:
    rows = RUNS["profile"]()
    assert verify_rows([rows[0] | change | {"alpha_share": 0.9}, *rows[1:]])
    assert verify_rows([rows[0] | {"alpha_share": 0.9}, *rows[1:]])
    alone = verify_rows([rows[0] | {"alpha_share": 0.9}])
    assert any(problem.field == "alpha_share" and problem.claims_too_much for problem in alone)
