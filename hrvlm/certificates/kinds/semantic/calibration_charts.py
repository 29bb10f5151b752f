"""Charts of a calibration: how often claims fail by threshold, and which threshold each rate takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from hrvlm.certificates.kinds.semantic.calibrated_stretch import MARGINAL
from hrvlm.certificates.kinds.semantic.calibration import ThresholdRecord
from hrvlm.certificates.kinds.semantic.record import TEXT
from hrvlm.charts.frame import Axes
from hrvlm.charts.lines import Chart, Curve

_BEYOND = 1.25  # of the largest threshold taken: how far a chart shows the curve


def loss_charts(statements: Iterable[ThresholdRecord], changes: Collection[str]) -> list[Chart]:
    """A chart per scorer and change, of leaves: share of violated claims by threshold, and the rates' thresholds.

    Args:
        statements: of a calibration; those of claims alone are told of.
        changes: names of those that are shown.
    """
    found: dict[tuple[str, str | None, str], list[ThresholdRecord]] = {}
    for s in statements:
        if s.over == "alone" and s.level == 0 and s.attribute in changes:
            told = found.setdefault((s.scorer, s.attribute, s.target_kind), [])
            if not told or (s.tree, s.curve, s.scale) == (told[0].tree, told[0].curve, told[0].scale):
                told.append(s)
    return [_chart(told) for told in found.values()]


def _chart(told: Sequence[ThresholdRecord]) -> Chart:
    one, taken = told[0], [s.thresholds.get(MARGINAL) for s in told]
    name = f"{one.attribute}" if one.target_kind == TEXT else f"{one.attribute} ({one.target_kind})"
    ends = [_BEYOND * threshold for threshold in taken if threshold]
    end = max(ends, default=0.0) or max((threshold for threshold, _ in one.curve), default=0.0) or 1.0
    rates = [
        Curve(f"epsilon {s.epsilon:g}: {'none' if at is None else f'{at:.3g}'}", [0.0, end], 2 * [100 * s.epsilon])
        for s, at in zip(told, taken, strict=True)
    ]
    return Chart(
        [_losses(one, end), *rates],
        Axes(
            title=f"{name}, {one.scorer}",
            x_label=f"threshold, {_unit(one)}",
            y_label="violated claims in percent",
            description=f"violated claims by threshold of {name}, {one.scorer}, with the one of each epsilon",
            x=(0.0, end),
            y=(0.0, max(100 * one.raw_violated, *(100 * s.epsilon for s in told))),
        ),
        step=True,
    )


def _losses(one: ThresholdRecord, end: float) -> Curve:
    """Percent of the images by threshold: each number of violations holds up to the next one's threshold."""
    shown = [(threshold, count) for threshold, count in one.curve if threshold < end] or [(0.0, 0)]
    x = [*(threshold for threshold, _ in shown[1:]), end]
    return Curve("violated", x, [100 * count / one.images for _, count in shown])


def _unit(one: ThresholdRecord) -> str:
    measured = "in distances of weights" if one.scale.unit == "weights" else "in margins"
    return measured + (f", growth {one.scale.growth:g}" if one.scale.growth else "")
