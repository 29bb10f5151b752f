"""Certified accuracy over the radius, the figure of Cohen et al., ICML 2019 (arXiv 1902.02918)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hrvlm.certificates.kinds.smoothing.charts import trees_of
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.figures import COLOURS, STYLE, legend_below, panels_beside, shown


def certified_accuracy(records: Sequence[SmoothingRecord]) -> Figure:
    """Share of images that are right and certified up to each radius: one panel per tree, one curve per level.

    Images without a label are left out; where none has one, the share is that of all that are certified.
    """
    unknown, trees = not any(r.labelled for r in records), trees_of(records)
    records = [r for r in records if r.labelled or unknown]
    with mpl.rc_context(STYLE):
        figure, panels = panels_beside(len(trees), height=3.6)
        for axes, tree in zip(panels, trees, strict=True):
            levels = sorted({(r.level, r.level_name) for r in records if r.level == 0 or r.tree == tree})
            for level, name in levels:
                group = [r for r in records if r.level == level and (level == 0 or r.tree == tree)]
                right = sorted(r.radius for r in group if (r.correct or unknown) and not r.abstain)
                shares = 100 * np.arange(len(right), -1, -1) / len(group)
                edges = [0.0, *right, right[-1] if right else 0.0]
                axes.stairs(
                    shares, edges, baseline=None, label=shown(name), color=COLOURS[level % len(COLOURS)], linewidth=1.8
                )
            axes.set(title=shown(tree), xlabel="L2 radius in pixel units", ylim=(0, 102))
            axes.set_xlim(left=0)
            legend_below(axes)
        panels[0].set_ylabel("share certified in percent" if unknown else "certified accuracy in percent")
    return figure
