"""Lines of rows: what is read again is what was written, and what JSON cannot hold is refused wherever it stands."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest

from hrvlm.rows.lines import line_of, line_of_numbers, row_of

ROWS: dict[str, dict[str, Any]] = {
    "nested": {"kind": "a", "none": None, "pairs": [[1, 0.5, None], []], "map": {"of": {"x": True}}, "empty": {}},
    "letters": {"text": 'ä "quoted" \\ back\nline\t\x01\x7f\u2028🦊 / null'},
    "whole numbers": {"seed": 2**64 - 1, "large": 2**70, "negative": -(2**63)},
    "tuples": {"pairs": ((1, 2.5), ("a", None))},
    "numbers of other libraries": {"share": np.float64(0.1), "pair": [np.float64(2.0)]},
    "signed zero": {"margin": -0.0, "pair": [0.0, -0.0]},
}


@pytest.mark.parametrize("name", ROWS)
def test_lines_are_those_of_the_standard_library(name: str) -> None:
    assert line_of(ROWS[name]) == json.dumps(ROWS[name], ensure_ascii=False)


def test_no_digit_of_a_number_is_lost() -> None:
    rng = random.Random(0)
    numbers = [rng.gauss(0, 1) * 10.0 ** rng.randint(-300, 300) for _ in range(2000)]
    row = {"numbers": [*numbers, 5e-324, 1.7976931348623157e308, 0.1, 1e-5, 1e16, 1e22, 1 / 3]}
    assert row_of(line_of(row).encode()) == json.loads(line_of(row)) == row


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan")])
@pytest.mark.parametrize("place", ["alone", "pair", "map", "tuple"])
def test_numbers_that_are_not_finite_are_refused(number: float, place: str) -> None:
    row: dict[str, Any] = {"reason": None, "share": 0.5}
    row |= {"alone": {"x": number}, "pair": {"x": [[1.0, None, number]]}, "map": {"x": {"y": number}},
            "tuple": {"x": (number,)}}[place]  # fmt: skip
    with pytest.raises(ValueError, match="not JSON compliant"):
        line_of(row)


def test_what_is_no_value_of_json_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        line_of({"x": {1, 2}})


@pytest.mark.parametrize("name", ROWS)
def test_lines_of_numbers_are_lines(name: str) -> None:
    assert line_of_numbers(ROWS[name] | {"reason": None}) == line_of(ROWS[name] | {"reason": None})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["alone", "tuple", "list"])
@pytest.mark.parametrize("reason", [None, "null", ""])
def test_numbers_of_lines_of_numbers_are_finite(number: float, place: str, reason: str | None) -> None:
    value: Any = {"alone": number, "tuple": ((1, 0.5), (2, number)), "list": [number]}[place]
    with pytest.raises(ValueError, match="not JSON compliant"):
        line_of_numbers({"reason": reason, "x": value})
