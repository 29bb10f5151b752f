"""What a row says of a calibrated threshold: how far an image's label is claimed by it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from msgspec import Meta, Struct, ValidationError, convert, to_builtins
from msgspec.structs import astuple
from numpy.typing import NDArray

from hrvlm.rows.fields import COUNT, GROWTH, INSIDE, NAME, NOT_NEGATIVE
from hrvlm.rows.lines import line_of
from hrvlm.rows.strict import RowError, shown

Over = Literal["alone", "group", "levels", "changes", "all"]
"""Which claims are right together: each alone, or of a group of images; of all levels, changes, or both of an image."""
ThresholdUnit = Literal["weights", "margin"]
"""Distances of the classes' weights, in which a threshold is a misalignment; or margins themselves."""
UNITS: tuple[ThresholdUnit, ...] = get_args(ThresholdUnit)
MARGINAL = "marginal"
CONFIDENCE = r"0\.[0-9]+"
FORM = Annotated[str, Meta(pattern=rf"^(marginal|{CONFIDENCE})$")]
Group = tuple[str, int, int]
"""Tree, level and class that the images of a group are predicted to be."""
Ending: TypeAlias = tuple[int, float, float, float, float, float]
"""What ends a stretch: a class; a, b, c of the label's margin ``a cos t + b sin t + c`` over it, t radians past the
image; the error of its values; and the distance of their weights."""


class CalibratedClaim(Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """What is claimed of a stretch, and what was asked for; rows hold the values in this order.

    Attributes:
        over: which claims are right together.
        group: of the image, where the threshold is of a group.
        epsilon: rate of images of the population whose claim some picture of the change may contradict.
        form: "marginal", or the confidence in text.
        unit: what the threshold is measured in.
        growth: how much more is asked along the way, a share per radian at the image; less below 0.
        threshold: None where the calibration found none.
    """

    over: Over
    group: tuple[NAME, COUNT, COUNT] | None
    epsilon: INSIDE
    form: FORM
    unit: ThresholdUnit
    growth: GROWTH
    threshold: NOT_NEGATIVE | None

    @property
    def about(self) -> tuple[str, Group | None, float]:
        """Which claims, of which images, at which rate."""
        return self.over, self.group, self.epsilon


class CalibratedStretch(NamedTuple):
    """A stretch at one threshold.

    Attributes:
        claim: what is claimed of it.
        extent: radians from the image onwards on which its label is claimed; 0 for nothing.
        share: of the change that they stand for.
    """

    claim: CalibratedClaim
    extent: float
    share: float


class CalibratedClaims(tuple[CalibratedClaim, ...]):
    """The claims of a row: the same for all images of its change, level, scorer and groups, hence one object for all.

    A run of some hundred images states a hundred thousand stretches. What depends on their claims alone is made once.
    """

    @property
    def lists(self) -> list[list[Any]]:
        """As a row holds them."""
        found: list[list[Any]] = to_builtins(list(self))
        for values in found:
            if values[1] is not None:
                values[1] = list(values[1])
        return found

    @cached_property
    def text(self) -> str:
        """`lists` as JSON."""
        return line_of({"": self.lists})[len('{"": ') : -1]

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """Threshold, NaN for none, 1 where it is in units of weights, else 0, and growth `(C, 3)`."""
        numbers = [
            (math.nan if each.threshold is None else each.threshold, each.unit == "weights", each.growth)
            for each in self
        ]
        return np.array(numbers, dtype=np.float64).reshape(-1, 3)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Groups that they are about, in their order."""
        return tuple(dict.fromkeys(each.group for each in self if each.group is not None))

    @cached_property
    def marginal_alone(self) -> list[tuple[int, float]]:
        """Places and rates of those that are marginal, and right each alone."""
        return [(i, each.epsilon) for i, each in enumerate(self) if (each.over, each.form) == ("alone", MARGINAL)]

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled and copied without what was made of them: in another process the hash of a text is another.
        return claims_of, (tuple(self),)

    @cached_property
    def once(self) -> bool:
        """Whether no two of them are about the same, in the same form."""
        return len({(*each.about, each.form) for each in self}) == len(self)


def claims_of(values: Iterable[Any]) -> CalibratedClaims:
    """From claims, or from a row's lists.

    Raises:
        RowError: if a row could not hold them.
    """
    if isinstance(values, CalibratedClaims):
        return values
    given = tuple(values)
    if not set(map(type, given)) <= {CalibratedClaim}:
        given = _checked(given)
    return _shared(given)


@lru_cache(maxsize=4096)
def _shared(claims: tuple[CalibratedClaim, ...]) -> CalibratedClaims:
    return CalibratedClaims(_checked(claims))  # equal ones may hold 1 or True in place of 1.0


def _checked(values: Iterable[Any]) -> tuple[CalibratedClaim, ...]:
    plain = [astuple(each) if isinstance(each, CalibratedClaim) else each for each in values]
    try:
        return convert(plain, _CLAIMS)
    except ValidationError as error:
        raise RowError(f"expected calibrated claims as rows hold them: {error}", "calibrated") from error


def without_extents(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row as it is now, whose claims once held an extent and a share besides.

    Raises:
        RowError: if some of them do, and some do not.
    """
    given = row.get("calibrated")
    if not isinstance(given, (list, tuple)) or not given or any(key in row for key in _BESIDE):
        return row
    older = [isinstance(each, (list, tuple)) and len(each) == _ONCE for each in given]
    if not any(older):
        return row
    if not all(older):
        place = older.index(False)
        raise RowError(f"expected calibrated[{place}] as {_ONCE} values, got {shown(given[place])}", "calibrated")
    claims = [each[: -len(_BESIDE)] for each in given]
    return {**row, "calibrated": claims} | {key: [each[place] for each in given] for key, place in _BESIDE.items()}


_ONCE = 9
_BESIDE = {"calibrated_extents": -2, "calibrated_shares": -1}
_CLAIMS = tuple[CalibratedClaim, ...]
NO_CLAIMS = CalibratedClaims()
