from __future__ import annotations

import math

import pytest
from example_records import semantics, smoothing

from hrvlm.certificates import verify_rows


def test_certified_rows_verify():
    records, _ = semantics(40)
    flat = semantics(3, target_extent=float("nan"))[0]
    assert verify_rows([r.to_row() for r in [smoothing(100), smoothing(101, count=10), *records]]) == []
    assert verify_rows([r.to_row() for r in flat]) == []
    assert all(record.intervals == () for record in flat)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"radius": smoothing().radius * 1.05}, "radius"),
        ({"lower": smoothing().lower + 1e-6}, "lower"),
        ({"alpha": 0.005}, "alpha_share"),
        ({"alpha_share": 0.01}, "alpha_share"),
        ({"count": 94}, "radius"),
        ({"count": 101}, "count"),
        ({"invalid": 6}, "count"),
        ({"selection_count": 11}, "count"),
        ({"sigma": 0.2}, "radius"),
        ({"n": 120}, "radius"),
        ({"label": 3}, "correct"),
        ({"prediction": -1, "label": -1}, "abstain"),
    ],
)
def test_a_row_that_claims_too_much_is_caught(changes, field):
    problems = verify_rows([smoothing().to_row() | changes])
    assert (field, True) in {(problem.field, problem.claims_too_much) for problem in problems}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"radius": smoothing().radius * 0.9}, "radius"),
        ({"abstain": True}, "abstain"),
        ({"float_mode": "exact"}, "float_mode"),
        ({"split": "none"}, "split"),
        ({"alpha_share": 2.0}, "alpha_share"),
        ({"alpha": 0.02}, "alpha"),
        ({"sigma": "x"}, "sigma"),
        ({"schema": 0}, "row"),
    ],
)
def test_a_row_that_is_otherwise_wrong_is_caught(changes, field):
    assert field in {problem.field for problem in verify_rows([smoothing().to_row() | changes])}


def test_families_are_verified_as_a_whole():
    rows = [smoothing(0, level=level).to_row() for level in range(2)]
    assert verify_rows(rows) == []
    more = [*rows, smoothing(0, level=2).to_row()]
    assert {(p.field, p.claims_too_much) for p in verify_rows(more)} == {("num_statements", True)}
    assert [p.message for p in verify_rows([*rows, rows[0]])] == ["expected one row for this statement, got 2"]


def test_inconsistent_semantic_rows_are_caught():
    record = next(r for r in semantics(40)[0] if len(r.intervals) > 2)
    row = record.to_row()
    (a, b, k), second, *rest = row["intervals"]
    longer = [[a, b + 0.05 * (b - a), k], second, *rest]
    for changes, field, too_much in [
        ({"intervals": longer}, "intervals", True),
        ({"intervals": [second, *rest]}, "intervals", False),
        ({"intervals": row["intervals"][:-1]}, "intervals", False),
        ({"intervals": [[a, second[1], k], *rest]}, "invariance", False),
        ({"intervals": [[a, b, -1], second, *rest]}, "intervals", False),
        ({"stop": row["start"]}, "intervals", True),
        ({"invariance": row["invariance"] * 1.05}, "invariance", True),
        ({"intervals": []}, "invariance", True),
        ({"intervals": [], "invariance": 0.0}, "reason", False),
        ({"label": record.prediction, "correct": False}, "correct", False),
        ({"stable": [[0.0, 0.5], [0.1, 0.6]]}, "stable", True),
        ({"stable": [[0.0, 1.5]]}, "stable", True),
        ({"start": math.nan}, "start", False),
    ]:
        found = {(problem.field, problem.claims_too_much) for problem in verify_rows([row | changes])}
        assert (field, too_much) in found, changes
