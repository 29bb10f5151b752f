"""No number of a certifying joint row can be raised without `verify_rows` noticing, but for those the docs list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sweeps import sweep
from test_altered_rows import raised, unchecked, unnoticed
from test_joint_rows import PLAN, certified, family, samples

from hrvlm.certificates import verify_rows

PLANS: dict[str, dict[str, Any]] = {
    "alone": {},
    "with others": {"label_functions": 3},
    "votes": {"votes": 101, "vote_error": 0.05},
}


@pytest.fixture(scope="module", params=sweep(PLANS, quick=("with others",)))
def rows(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Rows that certify every radius and extent they were asked for."""
    families = [family()]
    plan = replace(PLAN, **PLANS[request.param])
    made = [record.to_row() for record in certified(families, plan, samples=samples(families, 40))]
    assert verify_rows(made) == []
    sure = [r for r in made if all(e for _, e in r["at_radii"]) and all(radius > 0 for _, radius in r["at_extents"])]
    assert len(sure) >= 2
    return sure[:3]


def test_raised_numbers_are_noticed(rows: list[dict[str, Any]]) -> None:
    assert unnoticed(rows, "joint") <= {"histogram", "at_radii", "at_extents", "vote_error"}
    assert not unchecked("joint") & {"alpha", "alpha_share", "label_functions", "num_statements", "sigma", "count", "n"}


@pytest.mark.parametrize("name", ["at_radii", "at_extents"])
def test_raised_claims_are_noticed(name: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for where, changed in raised(row[name]):
            if where[1] == 1:  # what is certified; the first of each pair is what was asked
                assert any(problem.claims_too_much for problem in verify_rows([row | {name: changed}]))
