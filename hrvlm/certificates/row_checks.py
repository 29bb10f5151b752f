"""Checks that rows of several kinds of certificate share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from hrvlm.certificates.radii import operational_threshold

Finding: TypeAlias = tuple[str, bool, str]
"""Field at fault, whether the row claims too much, and one sentence."""
TOLERANCE = 1e-9  # relative; far above the rounding of one bound, far below anything a reader would care about


def alpha_findings(alpha: float, alpha_share: float, together: int, what: str) -> Iterator[Finding]:
    """Whether the shares of the statements made together exceed their alpha."""
    if not 0 < alpha < 1 or alpha_share * together > alpha * (1 + TOLERANCE):
        yield "alpha_share", True, f"{together} {what} at {alpha_share:g} each exceed alpha {alpha:g}"


def vote_findings(votes: int | None, vote_error: float | None, threshold: float) -> Iterator[Finding]:
    """Whether a threshold is high enough for the deployed vote that the row names."""
    if (votes is None) != (vote_error is None):
        yield "votes", False, "votes and vote_error belong together"
    elif votes is not None and vote_error is not None:
        needed = operational_threshold(votes, vote_error)
        if threshold < needed * (1 - TOLERANCE):
            yield "threshold", True, f"threshold {threshold!r} is below {needed!r}, which {votes} votes need"
