"""Derives every joint certificate again from the histogram and the alpha of its row, without the model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from hrvlm.certificates.kinds.checks import TOLERANCE, alpha_findings, vote_findings
from hrvlm.certificates.kinds.joint.claim import extent_at_radius, radius_at_extent
from hrvlm.certificates.kinds.joint.grid import ExtentGrid
from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.statistics.claim import FLOAT_MODES, SEPARATE
from hrvlm.rows.verifying import Finding


def joint_findings(record: JointRecord) -> Iterator[Finding]:
    """What of a joint record does not follow from what it holds.

    Raises:
        ValueError: if a number lies outside its range.
    """
    yield from _shares(record)
    histogram = record.counts()
    if int(histogram.sum()) != record.count or not 0 <= record.count <= record.n:
        yield "count", True, f"the histogram of {int(histogram.sum())} does not fit count={record.count}, n={record.n}"
        return
    if not 0 <= record.selection_count <= record.n0:
        yield "selection_count", True, f"{record.selection_count} of n0={record.n0} selection samples"
    if not 0 <= record.invalid <= record.n - record.count:
        yield "invalid", True, f"{record.invalid} invalid samples do not fit count={record.count}, n={record.n}"
    if not 0 <= record.invalid_selection <= record.n0 - record.selection_count:
        yield "invalid_selection", True, f"{record.invalid_selection} of n0={record.n0} selection samples"
    chosen = ("functions_chosen", ("before", "after"))
    for name, known in (("float_mode", tuple(FLOAT_MODES.values())), ("split", (SEPARATE,)), chosen):
        if getattr(record, name) not in known:
            yield name, False, f"expected {name} one of {list(known)}, got {getattr(record, name)!r}"
    yield from vote_findings(record.votes, record.vote_error, record.threshold)
    given: dict[str, Any] = {"grid": ExtentGrid(record.move, record.steps), "threshold": record.threshold}
    shared = (histogram, record.n, record.alpha_share)
    for radius, extent in record.at_radii:
        derived = extent_at_radius(*shared, radius, record.sigma, **given)
        yield from _compare("at_radii", f"the extent at radius {radius:g}", extent, derived)
    for extent_asked, radius in record.at_extents:
        found = radius_at_extent(*shared, extent_asked, record.sigma, **given)
        yield from _compare("at_extents", f"the radius at extent {extent_asked:g}", radius, found)
    yield from _abstention(record)


def _shares(record: JointRecord) -> Iterator[Finding]:
    """Whether the shares of all statements and label functions make alpha, no more and no less."""
    together = record.num_statements * record.label_functions
    over = list(alpha_findings(record.alpha, record.alpha_share, together, "statements"))
    yield from over
    if record.label_functions < 1:
        yield "label_functions", True, f"expected label_functions >= 1, got {record.label_functions}"
    elif not over and not math.isclose(record.alpha_share * together, record.alpha, rel_tol=TOLERANCE):
        yield "alpha", False, f"{together} statements at {record.alpha_share:g} each do not make alpha {record.alpha:g}"


def _compare(field: str, what: str, stated: float | None, derived: float | None) -> Iterator[Finding]:
    if stated is not None and derived is not None and math.isclose(stated, derived, rel_tol=TOLERANCE, abs_tol=1e-12):
        return
    if stated != derived:
        too_much = stated is not None and not (derived is not None and stated < derived)
        yield field, too_much, f"states {what} as {stated!r}, derived {derived!r}"


def _abstention(record: JointRecord) -> Iterator[Finding]:
    claims = any(e is not None for _, e in record.at_radii) or any(r > 0 for _, r in record.at_extents)
    if claims and record.prediction < 0:
        yield "prediction", True, "something is certified of no class"
    if record.abstain == claims or record.abstain != (record.reason is not None):
        text = f"abstain={record.abstain} with reason {record.reason!r} does not fit what is certified"
        yield "abstain", not record.abstain, text


def joint_families_findings(records: Iterable[JointRecord]) -> Iterator[tuple[JointRecord, Finding]]:
    """Images with more joint statements, over all their rows, than alpha was split over."""
    images: dict[int, dict[Any, JointRecord]] = defaultdict(dict)
    for record in records:
        images[record.index][record.key] = record
    for rows in images.values():
        stated = sum(len(record.at_radii) + len(record.at_extents) for record in rows.values())
        for record in rows.values():
            if stated > record.num_statements:
                text = f"alpha was split over {record.num_statements} statements, got {stated}"
                yield record, ("num_statements", True, text)
