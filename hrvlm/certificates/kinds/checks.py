"""Checks that rows of several kinds of certificate share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hrvlm.certificates.statistics.claim import FLOAT_MODES, NOISE_SPACES, SAME, SEPARATE
from hrvlm.certificates.statistics.radii import operational_threshold
from hrvlm.rows.verifying import Finding

if TYPE_CHECKING:
    from hrvlm.certificates.kinds.oracle.record import OracleRecord
    from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord

__all__ = ["TOLERANCE", "Finding", "alpha_findings", "choice_findings", "noise_findings", "vote_findings"]

TOLERANCE = 1e-9  # relative; far above the rounding of one bound, far below anything a reader would care about


def alpha_findings(alpha: float, alpha_share: float, together: int, what: str) -> Iterator[Finding]:
    """Whether the shares of the statements made together make their alpha, no more and no less."""
    if not 0 < alpha < 1 or not alpha_share * together <= alpha * (1 + TOLERANCE):
        yield "alpha_share", True, f"{together} {what} at {alpha_share:g} each exceed alpha {alpha:g}"
    elif not alpha_share * together >= alpha * (1 - TOLERANCE):
        yield "alpha", False, f"{together} {what} at {alpha_share:g} each do not make alpha {alpha:g}"


def vote_findings(
    votes: int | None, vote_error: float | None, threshold: float, *, exactly: bool = False
) -> Iterator[Finding]:
    """Whether a threshold is high enough, and if so asked no higher, for the deployed vote that the row names."""
    if (votes is None) != (vote_error is None):
        yield "votes", False, "votes and vote_error belong together"
    elif votes is not None and vote_error is not None:
        needed = operational_threshold(votes, vote_error)
        if threshold < needed * (1 - TOLERANCE):
            yield "threshold", True, f"threshold {threshold!r} is below {needed!r}, which {votes} votes need"
        elif exactly and threshold > needed * (1 + TOLERANCE):
            yield "threshold", False, f"threshold {threshold!r} is not {needed!r}, which {votes} votes need"


def noise_findings(float_mode: str, noise_space: str) -> Iterator[Finding]:
    """Whether the arithmetic of the noise and where it is added go together: only integer noise is on 8-bit images."""
    grid = float_mode == FLOAT_MODES["grid"]
    if grid != (noise_space == NOISE_SPACES["grid"]):
        yield "float_mode", grid, f"the arithmetic {float_mode!r} does not go with noise in {noise_space!r}"


def choice_findings(record: SmoothingRecord | OracleRecord) -> Iterator[Finding]:
    """Whether the selection samples fit how the class was chosen."""
    chosen, selected = record.prediction >= 0, record.selection_count
    if record.split == SEPARATE and record.n0 < 1:
        yield "split", True, "separate selection samples, of which there are none"
    if record.split == SAME and record.n0 > 0:
        yield "split", False, f"{record.n0} selection samples, where the counted ones select"
    if record.split != SEPARATE and selected > 0:
        yield "split", True, f"{selected} selection samples chose a class that was not chosen by any"
    if record.split == SEPARATE and chosen != (selected > 0):
        yield "selection_count", True, f"class {record.prediction} with {selected} selection samples"
    if not chosen and record.count > 0:
        yield "count", True, "samples were counted for a class that does not exist"
