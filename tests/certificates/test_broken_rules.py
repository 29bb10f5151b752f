"""A check that stumbles over a row that nobody thought of is a finding on that row, and hides no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from example_records import smoothing

from hrvlm.certificates.kinds.verify import CERTIFICATES
from hrvlm.rows.images import by_image
from hrvlm.rows.verifying import Problem, Rules, Verifier


def problems(rules: Rules[Any]) -> list[Problem]:
    """Of rows of three images, the last of which claims too much."""
    rows = [smoothing(index, 0, 90).to_row() for index in range(3)]
    rows[2] |= {"radius": rows[2]["radius"] * 2}
    verifier, (odd, images) = Verifier(rules, complete=True), by_image(rows)
    found = [*verifier.odd(odd), *(problem for image in images for problem in verifier.image(image))]
    return [*found, *verifier.finish()]


@pytest.mark.parametrize("what", ["of_record", "of_image"])
@pytest.mark.parametrize("failure", [IndexError, KeyError, OverflowError, ZeroDivisionError, TypeError, MemoryError])
def test_a_check_that_stumbles_hides_no_other_row(what: str, failure: type[Exception]) -> None:
    rule = getattr(CERTIFICATES, what)

    def stumbling(found: Any) -> Iterator[Any]:
        first = found[0] if isinstance(found, list) else found
        if first.index == 1:
            raise failure("of a row that nobody thought of")
        yield from rule(found)

    whole = problems(CERTIFICATES)
    assert {(problem.key[1], problem.field) for problem in whole} == {(2, "radius")}
    found = problems(replace(CERTIFICATES, **{what: stumbling}))
    assert {(problem.key[1], problem.field) for problem in found} == {(1, "row"), (2, "radius")}
    assert any("outside its range" in problem.message for problem in found)
