"""Calibrations of semantic certificates as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from hrvlm.certificates.kinds.semantic.calibrated_stretch import MARGINAL
from hrvlm.certificates.kinds.semantic.calibration import Calibration, ThresholdRecord
from hrvlm.certificates.statistics.risk import fewest_images
from hrvlm.evaluation.calibration_check import CheckRecord


def calibration_table(calibration: Calibration) -> Table:
    """A line per threshold of claims alone or joint: how often raw claims fail, and what is claimed instead.

    Args:
        calibration: Its thresholds by group are in the file alone.
    """
    table = Table(title=f"Thresholds for: {calibration.population}", title_justify="left")
    for name in ("change", "scorer", "level", "over"):
        table.add_column(name)
    for name in ("epsilon", "images", "raw claims violated", "form", "threshold", "share claimed"):
        table.add_column(name, justify="right")
    for statement in calibration.statements:
        if statement.over == "group":
            continue
        change = statement.attribute or "(all)"
        level = "(all)" if statement.tree is None else f"{statement.tree}/{statement.level}"
        start = [f"{change} ({statement.target_kind})", statement.scorer, level, statement.over]
        start += [f"{statement.epsilon:g}", str(statement.images), f"{100 * statement.raw_violated:.1f}%"]
        for form, threshold in statement.thresholds.items():
            share = f"{100 * statement.claimed[form]:.1f}%" if form in statement.claimed else ""
            table.add_row(*start, form, "none" if threshold is None else f"{threshold:.4g}", share)
    return table


def told_of_none(calibration: Calibration) -> Iterator[str]:
    """Per rate and form how many thresholds are not there, for none is valid, and what would help."""
    found: dict[tuple[float, str], list[ThresholdRecord]] = {}
    for statement in calibration.statements:
        for form, threshold in statement.thresholds.items():
            if threshold is None:
                found.setdefault((statement.epsilon, form), []).append(statement)
    for (epsilon, form), lacking in sorted(found.items()):
        least = fewest_images(epsilon, None if form == MARGINAL else float(form))
        few = sum(statement.images < least for statement in lacking)
        why = f"{few} of them for want of images, of which it takes at least {least}" if few else "pictures contradict"
        where = f"{len(lacking)} claims at epsilon {epsilon:g} ({form})"
        yield f"no threshold is valid for {where}: {why}; they claim nothing"


def check_table(checks: Sequence[CheckRecord]) -> Table:
    """A line per threshold that was checked: how often claims failed, with the exact 95% interval.

    Args:
        checks: Those of groups are in the file alone.
    """
    table = Table(title="Violation rates on the second set, in percent", title_justify="left")
    for name in ("change", "scorer", "level", "over"):
        table.add_column(name)
    for name in ("epsilon", "form", "images", "violated", "interval", "verdict"):
        table.add_column(name, justify="right")
    for check in checks:
        if check.group is not None:
            continue
        level = "(all)" if check.tree is None else f"{check.tree}/{check.level}"
        start = [f"{check.attribute or '(all)'} ({check.target_kind})", check.scorer, level, check.over]
        interval = f"{100 * check.lower:.1f} to {100 * check.upper:.1f}"
        rate = f"{100 * check.violated / check.images:.1f}"
        verdict = "contradicted" if check.contradicted else "not contradicted"
        table.add_row(*start, f"{check.epsilon:g}", check.form, str(check.images), rate, interval, verdict)
    return table
