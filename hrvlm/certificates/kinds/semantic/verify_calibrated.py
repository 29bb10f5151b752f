"""Derives the calibrated stretches of a semantic row again from the scores that it holds, in plain arithmetic."""

from __future__ import annotations

from collections.abc import Iterator

from hrvlm.certificates.kinds.semantic.calibrated_stretch import CalibratedClaim
from hrvlm.certificates.kinds.semantic.record import SemanticRecord
from hrvlm.certificates.kinds.semantic.verify_stable import ARC_TOLERANCE, Rival, Sinusoid, differs, rivals_of
from hrvlm.certificates.kinds.settings import NotedCalibration
from hrvlm.rows.verifying import Finding


def calibrated_findings(record: SemanticRecord) -> Iterator[Finding]:
    """What of calibrated stretches does not follow from the row."""
    if bool(record.calibration) != bool(record.population) or (record.calibrated and not record.calibration):
        yield "calibration", True, "a calibrated stretch goes with its calibration and population, of which one lacks"
    if not record.calibrated:
        return
    if not record.calibrated.once:
        yield "calibrated", True, "states two stretches for one rate, form and group"
    waves = {label: Sinusoid(*numbers) for label, *numbers in record.waves}
    named = {label for pair in (*record.distances, *record.margins) for label in pair[:2]}
    if not named <= waves.keys():
        return  # a lacking score is found where the stable part is derived
    whole = raw_extent(record)
    rivals = [rival for rival in rivals_of(record, waves) if rival.winner == record.prediction]
    for claim, extent, share in record.stretches:
        derived = 0.0 if claim.threshold is None else _reached(claim, claim.threshold, rivals, whole)
        yield from differs("calibrated_extents", extent, derived, ARC_TOLERANCE)
        if (share > 0) > (extent > 0):
            yield "calibrated_shares", True, f"claims a share of {share!r} of the change on an extent of 0"


def raw_extent(record: SemanticRecord) -> float:
    """Radians from the image onwards on which its label holds."""
    if not record.intervals or record.intervals[0][2] != record.prediction:
        return 0.0
    return abs(record.intervals[0][1] - record.start)


def _reached(claim: CalibratedClaim, threshold: float, rivals: list[Rival], whole: float) -> float:
    """Radians from the image onwards on which all margins that the row holds exceed what is asked of them."""
    ends = [whole]
    for rival in rivals:
        asked = threshold * (rival.distance if claim.unit == "weights" else float(rival.winner != rival.other))
        lead = Sinusoid(rival.margin.a, rival.margin.b - claim.growth * asked, rival.margin.c)
        if not lead.value(0.0) > asked + rival.error:  # nor where that is no number
            return 0.0
        ends += [low for low, _ in lead.at_most(asked + rival.error, 0.0, whole)]
    return min(ends)


def calibrated_against(record: SemanticRecord, noted: NotedCalibration | None) -> Iterator[Finding]:
    """Thresholds are those of the calibration that the run names, and so is the share of the change.

    Args:
        record: a row's record.
        noted: of its run; None where that has no calibration.
    """
    if noted is None:
        if record.calibration is not None:
            yield "calibration", True, "rests on a calibration, and its run on none"
        return
    if (record.calibration, record.population) != (noted.digest, noted.population):
        yield "calibration", True, f"rests on calibration {record.calibration!r}, its run on {noted.digest!r}"
        return
    behind, length = noted.behind(record), abs(record.stop - record.start)
    if record.intervals and not behind.complete:
        yield "calibrated", False, "lacks stretches of its calibration"
    for (claim, extent, stated), threshold in zip(record.stretches, behind.thresholds, strict=True):
        if threshold is None:
            yield "calibrated", True, f"states a threshold of {claim.threshold!r} that its calibration does not have"
            continue
        share = threshold.share(extent / length) if length and extent else 0.0
        if share != stated:  # most are the same to the last bit
            yield from differs("calibrated_shares", stated, share, ARC_TOLERANCE)
