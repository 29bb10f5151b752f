"""What semantic certificates are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hrvlm.certificates.embedding.attributes import Attribute


@dataclass(frozen=True)
class SemanticOptions:
    """What semantic certificates are asked for.

    Attributes:
        attributes: semantic changes; each has certificates of its own.
        deltas: misalignment bounds at which stable coverage is stated, in units of the features.
        calibration: file of `certify.py calibrate` by which calibrated stretches are stated; None for none.
    """

    attributes: Sequence[Attribute]
    deltas: Sequence[float]
    calibration: str | None = None
