"""Checks that rows of several kinds of certificate share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from hrvlm.certificates.statistics.claim import FLOAT_MODES, NOISE_SPACES, SAME, SEPARATE
from hrvlm.certificates.statistics.radii import operational_threshold
from hrvlm.rows.record import NAMED_BY, Record, is_right
from hrvlm.rows.verifying import Finding

TOLERANCE = 1e-9  # relative; far above the rounding of one bound, far below anything a reader would care about
S = TypeVar("S", bound="Shares")


class Shares(Protocol):
    """A record of one of several statements of an image that share alpha."""

    @property
    def num_statements(self) -> int:
        """How many share it."""


class NamesItself(Protocol):
    """A record with prompts that name the image."""

    @property
    def labelled(self) -> bool:
        """Whether the true label is known."""

    @property
    def named_by(self) -> str:
        """Which class names it."""


class Chooses(Protocol):
    """A record of a class that samples chose, or that was fixed."""

    @property
    def prediction(self) -> int:
        """The class, -1 where there is none."""

    @property
    def split(self) -> str:
        """How it was chosen."""

    @property
    def n0(self) -> int:
        """Selection samples."""

    @property
    def selection_count(self) -> int:
        """Those of the class."""

    @property
    def count(self) -> int:
        """Counted samples of the class."""


def correct_findings(record: Record) -> Iterator[Finding]:
    """Whether a record is correct where its prediction is its label."""
    if record.correct != is_right(record.prediction, record.label):
        text = f"prediction {record.prediction} and label {record.label} contradict correct={record.correct}"
        yield "correct", record.correct, text


def named_findings(record: NamesItself) -> Iterator[Finding]:
    """Whether the label names an image in prompts where it has one, and the prediction else."""
    if record.named_by != NAMED_BY[record.labelled]:
        known = "a" if record.labelled else "no"
        yield "named_by", False, f"prompts named by the {record.named_by} of an image that has {known} label"


def sharing_findings(records: Sequence[S]) -> Iterator[tuple[S, Finding]]:
    """Whether an image has more statements than alpha was split over."""
    for record in records:
        if len(records) > record.num_statements:
            text = f"alpha was split over {record.num_statements} statements, got {len(records)} rows"
            yield record, ("num_statements", True, text)


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


def choice_findings(record: Chooses) -> Iterator[Finding]:
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
