"""What the row of a smoothing certificate must satisfy, without the model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.checks import TOLERANCE, vote_findings
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.statistics.claim import SEPARATE, decide, derive, derive_all
from hrvlm.rows.table import Column
from hrvlm.rows.verifying import Finding

_derive = lru_cache(maxsize=2**16)(derive)  # counts repeat over the images of a run


def smoothing_findings(record: SmoothingRecord) -> Iterator[Finding]:
    """Everything about a row that cannot be derived again.

    Raises:
        ValueError: if a value lies outside its range.
    """
    together = record.num_statements * record.label_functions
    if record.alpha_share * together > record.alpha * (1 + TOLERANCE):
        text = f"{together} statements at {record.alpha_share:g} each exceed alpha {record.alpha:g}"
        yield "alpha_share", True, text
    elif not _equal(record.alpha_share * together, record.alpha):
        text = f"{together} statements at {record.alpha_share:g} each do not make alpha {record.alpha:g}"
        yield "alpha", False, text
    selected = record.selection_count + record.invalid_selection
    if record.n - record.count - record.invalid < 0 or selected > record.n0:
        yield "count", True, f"counts do not fit n0={record.n0}, n={record.n}"
        return
    yield from _procedure(record)
    yield from _claim(record)


def as_sound(example: SmoothingRecord, columns: Mapping[str, Column]) -> NDArray[np.bool_]:
    """Which records are as sound as an example that they differ from in `VARYING` alone; False where unsure.

    Args:
        example: a record in which nothing was found.
        columns: the numbers of the others.
    """
    prediction, count, selected = columns["prediction"], columns["count"], columns["selection_count"]
    # Subtracted from what is small: sums of numbers that rows may hold leave 64 bits.
    fits = (count <= example.n - example.invalid) & (selected <= example.n0 - example.invalid_selection)
    if example.method != "clopper-pearson":
        return np.zeros(len(fits), dtype=np.bool_)
    lower, radius = derive_all(
        example.split,
        counts=np.where(fits, count, 0),
        n=example.n,
        alpha=example.alpha_share,
        sigma=example.sigma,
        threshold=example.threshold,
    )
    chosen = prediction >= 0
    found = fits & (example.correct == (chosen & (prediction == columns["label"]))) & (chosen | (count == 0))
    found &= chosen == (selected > 0) if example.split == SEPARATE else selected == 0
    found &= example.abstain != (chosen & (radius > 0))
    return found & _all_equal(columns["lower"], lower) & _all_equal(columns["radius"], radius)


def _all_equal(stated: NDArray[Any], derived: NDArray[np.float64]) -> NDArray[np.bool_]:
    """As `_equal`, for arrays; nothing that is stated is infinite."""
    close: NDArray[np.bool_] = np.abs(stated - derived) <= TOLERANCE * np.maximum(1.0, np.maximum(stated, derived))
    return close & np.isfinite(derived)


def _claim(record: SmoothingRecord) -> Iterator[Finding]:
    """Bounds and radius that the counts give."""
    claim = _derive(
        record.method,
        record.split,
        count=record.count,
        runner_up=record.runner_up,
        n=record.n,
        alpha=record.alpha_share,
        sigma=record.sigma,
        threshold=record.threshold,
    )
    yield from _compare(record, "lower", claim.lower)
    yield from _compare(record, "radius", claim.radius)
    if record.upper is not None and claim.upper is not None and not _equal(record.upper, claim.upper):
        too_much = not record.upper > claim.upper
        yield "upper", too_much, f"states upper {record.upper!r} instead of {claim.upper!r}"
    certain = record.prediction >= 0 and claim.radius > 0
    if record.abstain == certain or record.abstain != (record.reason is not None):
        text = f"abstain={record.abstain} with reason {record.reason!r} does not fit the radius {claim.radius!r}"
        yield "abstain", not record.abstain, text


def _compare(record: SmoothingRecord, name: str, derived: float) -> Iterator[Finding]:
    """A finding if a stated number differs from the derived one."""
    stated = float(getattr(record, name))
    if not _equal(stated, derived):
        too_much = not stated < derived
        yield name, too_much, f"states {name} {stated!r}, {'more' if too_much else 'less'} than the derived {derived!r}"


def _equal(stated: float, derived: float) -> bool:
    return math.isclose(stated, derived, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _procedure(record: SmoothingRecord) -> Iterator[Finding]:
    """Problems of what a row says about how it was made."""
    if (record.upper is None) != (record.runner_up is None):
        yield "upper", False, "upper and runner_up belong together"
    if record.runner_up is not None and not record.invalid <= record.runner_up <= record.n - record.count:
        yield "runner_up", True, f"runner_up {record.runner_up} does not fit the counts"
    yield from vote_findings(record.votes, record.vote_error, record.threshold, exactly=True)
    if record.n < 1 and record.n_max is None:
        yield "n", False, "no samples were counted, by a procedure that always counts some"
    if record.n_max is not None and (
        record.n > record.n_max or (record.method != "anytime" and record.n not in (0, record.n_max))
    ):
        text = f"n was chosen by looking at samples ({record.n} of {record.n_max}), which {record.method!r} excludes"
        yield "method", True, text
    yield from _decision(record)


def _decision(record: SmoothingRecord) -> Iterator[Finding]:
    """Problems of a decision whether the radius is at least the goal; only rows of n that depends on samples have one.

    A pilot gives up before anything is counted, and decides nothing otherwise.
    """
    told = {name: getattr(record, name) for name in ("goal", "give_up", "decision", "n_max")}
    if record.method != "anytime":
        needed = "given up" if record.n_max is not None and record.n == 0 else None
        for name, value in (("goal", None), ("give_up", None), ("decision", needed)):
            if told[name] != value:
                yield (
                    name,
                    told[name] == "certified",
                    f"states {name} {told[name]!r}, where {record.method!r} has {value!r}",
                )
        return
    lacking = [name for name, value in told.items() if value is None]
    if lacking or record.goal is None or record.give_up is None:
        yield lacking[0], True, f"a row whose n depends on samples lacks {', '.join(lacking)}"
        return
    derived: str = "given up" if record.n == 0 else "undecided"
    if record.n > 0:
        derived = decide(
            record.count,
            record.n,
            alpha=record.alpha_share,
            give_up=record.give_up,
            goal=record.goal,
            sigma=record.sigma,
            threshold=record.threshold,
        )
    if record.decision != derived:
        text = f"states the decision {record.decision!r}, where the counts say {derived!r}"
        yield "decision", record.decision == "certified", text
