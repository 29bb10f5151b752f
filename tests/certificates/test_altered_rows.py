"""No number of a valid row can be raised without `verify_rows` noticing, but for those that docs/records.md lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from example_records import semantics
from semantic_problems import random_problem
from test_semantic_evidence import of_problem

from hrvlm.certificates import Sample, SmoothingPlan, Statement, certify, verify_rows
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord

DOCUMENT = Path(__file__).parents[2] / "docs" / "records.md"
PLANS: dict[str, dict[str, Any]] = {
    "split": {},
    "shared": {"procedure": "shared"},
    "two bounds": {"procedure": "two bounds"},
    "pilot": {"procedure": "pilot"},
    "adaptive": {"procedure": "adaptive", "goal": 0.05},
    "votes": {"votes": 101, "vote_error": 0.05},
}


def smoothing_rows(**options: Any) -> list[dict[str, Any]]:
    """Certified rows of a classifier by brightness that is unsure about some images."""
    import torch

    statements = [Statement(key=k, tree="t", level=k, level_name="l", num_classes=3) for k in range(2)]
    plan = SmoothingPlan(**({"sigma": 0.25, "n0": 20, "n": 400, "alpha": 0.01, "seed": 0} | options))

    def classify(images: torch.Tensor) -> dict[int, torch.Tensor]:
        bright = images.mean(dim=(1, 2, 3))
        labels = (bright > 0.45).long() + (bright > 0.6).long()
        return {0: labels, 1: torch.where(bright > 0.9, -1, labels.clamp(max=1))}

    images = [torch.full((1, 2, 2), round(255 * value) / 255) for value in (0.25, 0.7, 0.8)]
    samples = [Sample(index=i, image=image, labels={0: 0, 1: 1}) for i, image in enumerate(images)]
    records = [record for found in certify(classify, samples, statements, plan, threads=0) for record in found]
    assert sum(not record.abstain for record in records) >= 2
    return [record.to_row() for record in records]


def unchecked(kind: str) -> set[str]:
    """Fields that the document says cannot be checked from a row alone."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## What a row alone cannot show")[2]
    (line,) = [line for line in section.splitlines() if line.startswith(f"* `{kind}`")]
    return set(re.findall(r"`(\w+)`", line.partition(", and ")[0])) - {kind}


def raised(value: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    """A value with one of its numbers raised, once for each number, and where that number is."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, int):
        yield path, value + 1
    elif isinstance(value, float):
        yield path, value * 1.05 if value > 0 else value + 0.05
    else:
        for place, item in enumerate(value):
            for where, changed in raised(item, (*path, place)):
                yield where, [*value[:place], changed, *value[place + 1 :]]


def unnoticed(rows: list[dict[str, Any]], kind: str) -> set[str]:
    """Fields with a number that can be raised in some certifying row without a complaint about that row."""
    found = set()
    for place, row in enumerate(rows):
        if row.get("abstain") or row.get("intervals") == []:
            continue
        assert verify_rows([row]) == []
        for name in set(row) - unchecked(kind) - {"kind", "schema"}:
            for where, changed in raised(row[name]):
                if kind == "semantic" and unshown(row, name, where):
                    continue  # the document says so
                altered = row | {name: changed}
                if not verify_rows([altered]) and not verify_rows([*rows[:place], altered, *rows[place + 1 :]]):
                    found.add(name)  # neither for itself nor among the others
    return found


def unshown(row: dict[str, Any], name: str, where: tuple[int, ...]) -> bool:
    """Whether a number may be raised: what bears on classes that win nowhere."""
    if name == "intervals" and not row["waves"]:
        return where[-1] == 2  # a row from before scores were kept
    winners = {row["prediction"], *(label for _, _, label in row["intervals"])}
    if name == "waves":
        return row["waves"][where[0]][0] not in winners
    if (
        name == "largest_deltas"
    ):  # two classes may bound a winner from delta 0, up to rounding: where it begins and ends
        return where[-1] > 0 and row[name][where[0]][2] < 1e-12
    return name == "distances"


@pytest.mark.parametrize("procedure", PLANS)
def test_raised_numbers_of_smoothing_rows_are_noticed(procedure: str) -> None:
    rows = smoothing_rows(**PLANS[procedure])
    assert verify_rows(rows) == []
    assert unnoticed(rows, SmoothingRecord.kind) == set()


@pytest.mark.parametrize("kind", ["cosine", "poincare"])
def test_raised_numbers_of_semantic_rows_are_noticed(kind: str) -> None:
    rows = [record.to_row() for record in of_problem(random_problem(kind, 12, 4, 24, 31), deltas=(0.0, 0.1, 0.3))]
    assert verify_rows(rows) == []
    assert unnoticed(rows, "semantic") == set()


def test_raised_numbers_of_rows_from_before_scores_were_kept_are_noticed() -> None:
    rows = [record.to_row() for record in semantics(40)[0]]
    rows = [row | {"stable": [[0.0, row["invariance"]]]} for row in rows]
    assert verify_rows(rows) == []
    assert unnoticed(rows, "semantic") == {"smallest_margin", "stable"}  # they depend on scores that these rows lack


def test_the_list_of_fields_that_cannot_be_checked_holds_no_claim() -> None:
    claims = {"radius", "lower", "upper", "alpha", "alpha_share", "sigma", "count", "n", "threshold", "intervals"}
    for kind in ("smoothing", "semantic"):
        assert not unchecked(kind) & claims
