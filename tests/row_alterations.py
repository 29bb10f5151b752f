"""Rows with one field altered: to values of wrong types, to other words, to numbers out of range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hrvlm.rows.strict import Strict

Row = dict[str, Any]
ODD: dict[type, tuple[Any, ...]] = {
    bool: (None, 0, 1, 1.0, "x", "true", [], {}),
    int: (None, True, False, 0.5, 1.0, "0", "x", [], {}, [1], -2, 10**30, math.nan, math.inf),
    float: (None, True, "0.5", "", [], {}, [0.5], math.nan, math.inf, -math.inf, 10**400),
    str: (None, True, 0, 1.0, "", [], {}, ["x"]),
    type(None): (True, [], {}, -1.5, math.nan, math.inf, ["x"], 10**30),
    list: (None, True, 0, 0.5, "x", {}, [None], [{}], [[None]], ["x"], [math.nan], [[math.inf]], [10**30], [True]),
}


def odd_values(row: Row) -> Iterator[tuple[str, Any]]:
    """Fields, each with values that are none of it."""
    for name, value in row.items():
        for odd in ODD[type(value)]:
            yield name, odd


def other_words(row: Row, reader: Strict[Any]) -> Iterator[tuple[str, str]]:
    """Fields that are one of some words, each with the others."""
    for name, kind in reader.struct.__annotations__.items():
        for word in words_of(kind):
            if name not in ("kind", "schema") and name in row and word != row[name]:
                yield name, word


def words_of(kind: Any) -> list[str]:
    """The words that a field may be, if it is one of some."""
    if get_origin(kind) is Literal:
        return [word for word in get_args(kind) if isinstance(word, str)]
    return [w for part in get_args(kind) for w in words_of(part)] if get_origin(kind) in (Union, UnionType) else []


def unnoticed(
    rows: Sequence[Row],
    verify: Callable[[list[Row]], Sequence[Any]],
    changes: Callable[[Row], Iterator[tuple[str, Any]]],
) -> set[tuple[str, str]]:
    """Fields and values to which one row of a run can be altered without a finding.

    Where nothing is found of a row by itself, what is found of it altered is found beside other rows as well: these are
    asked for the rest only.
    """
    found = set()
    for place, row in enumerate(rows):
        alone = not verify([row])
        for name, value in changes(row):
            altered = row | {name: value}
            if not (alone and verify([altered])) and not verify([*rows[:place], altered, *rows[place + 1 :]]):
                found.add((name, repr(value)))
    return found
