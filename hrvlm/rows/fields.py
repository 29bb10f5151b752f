"""Types of the fields of rows: what a number may be and which words there are.

A field means the same in every kind of row, so its range stands here once, by name; a kind of record narrows it, or
says what other words it takes, in `limits`. What neither names has the type of its dataclass: numbers are finite, whole
numbers are no booleans and no fractions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta

LARGEST = sys.float_info.max
INDICES = 2**32
"""How many images a data set may have: noise is addressed by 32 bits of the index."""


def between(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> Any:
    """Floats of a range; neither infinite nor NaN."""
    bounds: dict[str, Any] = {"gt" if open_low else "ge": low, "lt" if open_high else "le": high}
    return Annotated[float, Meta(**bounds)]


def at_least(low: int, below: int = 2**63 - 1) -> Any:
    """Whole numbers from `low` to before `below`."""
    return Annotated[int, Meta(ge=low, lt=below)]


def one_of(words: Iterable[str]) -> Any:
    """One of some words."""
    return Literal[tuple(words)]


FINITE = between(-LARGEST, LARGEST)
POSITIVE = between(0.0, LARGEST, open_low=True)
NOT_NEGATIVE = between(0.0, LARGEST)
INSIDE = between(0.0, 1.0, open_low=True, open_high=True)
SHARE = between(0.0, 1.0)
BOUND = between(0.0, 1.0, open_high=True)
GROWTH = between(-1.0, LARGEST, open_low=True)
"""Of a threshold along a change, a share per radian: above -1, where it would come down to nothing."""
NAME = Annotated[str, Meta(min_length=1)]
INDEX = Annotated[int, Meta(ge=0, lt=INDICES)]
COUNT = at_least(0)
SOME = at_least(1)
CLASS = at_least(-1)
"""A class, -1 where there is none."""
SEED = Annotated[int, Meta(ge=0)]  # below 2^64, which is checked apart: msgspec's bounds are those of int64

FIELDS: dict[str, Any] = {
    "index": INDEX, "label": CLASS, "tree": NAME, "level": at_least(0, INDICES), "level_name": NAME,
    "prediction": CLASS, "reason": NAME | None, "sigma": POSITIVE, "noise_space": NAME, "alpha": INSIDE,
    "alpha_share": INSIDE, "num_statements": SOME, "label_functions": SOME, "n0": COUNT, "n": COUNT,
    "selection_count": COUNT, "count": COUNT, "invalid": COUNT, "invalid_selection": COUNT, "lower": BOUND,
    "radius": NOT_NEGATIVE, "seed": SEED, "threshold": INSIDE, "votes": SOME | None, "vote_error": INSIDE | None,
    "num_classes": SOME, "functions_chosen": one_of(("before", "after")), "source_prompt": NAME, "target_prompt": NAME,
    "precision": one_of(("float32", "bfloat16", "float16")), "scorer": one_of(("cosine", "poincare")),
    "named_by": one_of(("label", "prediction")), "attribute": NAME, "eps": NOT_NEGATIVE, "oracle": NAME,
}  # fmt: skip


def strict_type(name: str, hint: Any, limits: Mapping[str, Any]) -> Any:
    """Type of a field: as its kind of record or its name narrows it, or as its dataclass has it."""
    if name in limits:
        return limits[name]
    return FIELDS[name] if name in FIELDS else _strict(hint)


def _strict(hint: Any) -> Any:
    """A plain type with its floats finite."""
    if hint is float:
        return FINITE
    origin, parts = get_origin(hint), get_args(hint)
    if origin is tuple:
        return tuple[tuple(part if part is Ellipsis else _strict(part) for part in parts)]  # type: ignore[misc]
    if origin in (Union, UnionType):
        return Union[tuple(_strict(part) for part in parts)]  # noqa: UP007
    return hint
