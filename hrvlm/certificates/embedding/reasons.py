"""Why a semantic partition may certify nothing, or anything at all; apart from tensors, for rows alone need none."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an image has no ordinary certificate."""

    PARALLEL = "the prompts are parallel and span no plane: nothing certified"
    NOT_FINITE = "a score or an angle is not finite: nothing certified"
    NO_REFERENCE = "the reference image has no in-plane part: nothing certified"
    NUMERICAL = "an interval failed its closed-form check: nothing certified"
    CONSTANT = "the image has no in-plane part: the prediction cannot change"
    EMPTY_RANGE = "the range is empty: start and target extent coincide"

    @property
    def certifies(self) -> bool:
        """Whether intervals are stated all the same."""
        return self in (Reason.CONSTANT, Reason.EMPTY_RANGE)
