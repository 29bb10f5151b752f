"""A comparison of two models, by hand."""

from __future__ import annotations

from hrvlm.evaluation.comparison import Comparison, Line
from hrvlm.evaluation.paired import difference_of_means, difference_of_shares
from hrvlm.rows.measures import Measure

RIGHT = ([1, 0, 0, 1], [1, 1, 0, 1])
RADII = ([0.1, 0.0, 0.2, 0.0], [0.25, 0.0, 0.2, 0.1])


def comparison(first: str = "a", second: str = "b", tree: str = "(all)") -> Comparison:
    measures = (Measure(tree, 0, "leaf", "clean", "right"), Measure(tree, 0, "leaf", "mean radius", "number"))
    shares, means = difference_of_shares(*RIGHT), difference_of_means(*RADII)
    lines = (
        Line("Attacks: linf", measures[0], 4, (0.5, 0.75), (None, shares)),
        Line("Smoothing", measures[1], 4, (0.075, 0.1375), (None, means)),
        Line("Smoothing", Measure(tree, 1, "group", "only one", "share"), 4, (None, 0.5), (None, None)),
    )
    return Comparison((first, second), lines, 0.95, ("Some are left out.",))
