"""What a row says of a calibrated threshold: how far an image's label is claimed by it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args

from msgspec import Meta

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
Ending: TypeAlias = tuple[float, tuple[float, float, float], float]
"""What ends a stretch: distance of a class from an image's label, the label's margin over it, and the error of that."""


class CalibratedStretch(NamedTuple):
    """A stretch at one threshold.

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

    over: str
    group: Group | None
    epsilon: float
    form: str
    unit: str
    growth: float
    threshold: float | None
    extent: float
    share: float

    @classmethod
    def of(cls, values: Any) -> CalibratedStretch:
        """From a row's list."""
        if isinstance(values, cls):
            return values
        over, group, epsilon, form, unit, growth, threshold, extent, share = values
        named = None if group is None else (str(group[0]), int(group[1]), int(group[2]))
        asked = None if threshold is None else float(threshold)
        return cls(over, named, float(epsilon), form, unit, float(growth), asked, float(extent), float(share))

    def to_list(self) -> list[Any]:
        """As a row holds it."""
        found: list[Any] = list(self)
        if self.group is not None:
            found[1] = list(self.group)
        return found


STRETCH: Any = tuple[
    Over, tuple[NAME, COUNT, COUNT] | None, INSIDE, FORM, ThresholdUnit, GROWTH, NOT_NEGATIVE | None,
    NOT_NEGATIVE, SHARE,
]  # fmt: skip
"""Type of its list."""
