"""Fields told at once agree and disagree as fields told one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from hrvlm.rows.agreement import Agreement, Problem

GROUP, NAMES = ("noise",), ("sigma", "seed", "alpha")


class Row(NamedTuple):
    """A row of an image."""

    index: int
    values: tuple[float, int, float]

    @property
    def key(self) -> tuple[str, int]:
        """Of the row."""
        return "kind", self.index


def rows(odd: int) -> list[Row]:
    """Three hundred rows of two seeds, of which some say another sigma."""
    draw = random.Random(1)
    found = [Row(index, (0.25, draw.choice([3, 3, 3, 4]), 0.1)) for index in range(300)]
    for place in draw.sample(range(300), odd):
        found[place] = found[place]._replace(values=(0.5, *found[place].values[1:]))
    return found


def problems(found: list[Row], expected: dict[str, float], *, at_once: bool) -> Iterator[Problem]:
    agreement = Agreement({(GROUP, name): value for name, value in expected.items()})
    for row in found:
        if at_once:
            yield from agreement.noted(row, GROUP, NAMES, row.values)
        else:
            for name, value in zip(NAMES, row.values, strict=True):
                yield from agreement.noted(row, GROUP, name, value)
    yield from agreement.disagreements()


@pytest.mark.parametrize("expected", [{}, {"sigma": 0.25}, {"sigma": 0.5, "alpha": 0.1}])
@pytest.mark.parametrize("odd", [0, 3, 150])
def test_fields_at_once_are_counted_one_by_one(odd: int, expected: dict[str, float]) -> None:
    given = rows(odd)
    one_by_one = [*problems(given, expected, at_once=False)]
    assert [*problems(given, expected, at_once=True)] == one_by_one
    assert any(problem.field == "seed" and "rows say 3" in problem.message for problem in one_by_one)
    if odd and not expected:
        assert sum(problem.field == "sigma" for problem in one_by_one) == min(odd, 100)


def test_the_counts_are_those_of_the_rows() -> None:
    given = rows(0)
    usual = sum(row.values[1] == 3 for row in given)
    first = next(problems(given, {}, at_once=True))
    assert f"{usual} rows say 3" in first.message
    assert first.key[1] == next(row.index for row in given if row.values[1] == 4)
