"""What a row says of a calibrated threshold: how far an image's label is claimed by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeAlias, get_args

from msgspec import Meta, Struct, convert, to_builtins

from hrvlm.rows.fields import COUNT, GROWTH, INSIDE, NAME, NOT_NEGATIVE, SHARE

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


class CalibratedStretch(Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """A stretch at one threshold; rows hold the values in this order. A row has hundreds: hence no dataclass.

    Attributes:
        over: which claims are right together.
        group: of the image, where the threshold is of a group.
        epsilon: rate of images of the population whose claim some picture of the change may contradict.
        form: "marginal", or the confidence in text.
        unit: what the threshold is measured in.
        growth: how much more is asked along the way, a share per radian at the image; less below 0.
        threshold: None where the calibration found none.
        extent: radians from the image onwards on which its label is claimed; 0 for nothing.
        share: of the change that they stand for.
    """

    over: Over
    group: tuple[NAME, COUNT, COUNT] | None
    epsilon: INSIDE
    form: FORM
    unit: ThresholdUnit
    growth: GROWTH
    threshold: NOT_NEGATIVE | None
    extent: NOT_NEGATIVE
    share: SHARE

    @property
    def claim(self) -> tuple[str, Group | None, float]:
        """What it is about: which claims, of which images, at which rate."""
        return self.over, self.group, self.epsilon


def stretches_of(values: Iterable[Any]) -> tuple[CalibratedStretch, ...]:
    """From a row's lists; those that are stretches stay so."""
    given = tuple(values)
    if set(map(type, given)) <= {CalibratedStretch}:
        return given
    return convert([value if isinstance(value, CalibratedStretch) else list(value) for value in given], _STRETCHES)


def lists_of(stretches: Iterable[CalibratedStretch]) -> list[list[Any]]:
    """As a row holds them."""
    found: list[list[Any]] = to_builtins(list(stretches))
    for values in found:
        if values[1] is not None:
            values[1] = list(values[1])
    return found


_STRETCHES = tuple[CalibratedStretch, ...]
