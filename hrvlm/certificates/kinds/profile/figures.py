"""The figure of hierarchical profiles: how deep certificates reach at each radius."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hrvlm.certificates.kinds.profile.charts import depth_shares
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.figures import COLOURS, STYLE, legend_below, panels_beside, shown


def profile_depths(records: Sequence[ProfileRecord]) -> Figure:
    """Share of images by the level of the deepest ancestor certified at each radius: one panel per tree."""
    trees = sorted({record.tree for record in records})
    top = max((radius for record in records for radius, level in record.steps if level >= 0), default=0.0)
    with mpl.rc_context(STYLE):
        figure, panels = panels_beside(len(trees), height=3.6)
        for axes, tree in zip(panels, trees, strict=True):
            group = [record for record in records if record.tree == tree]
            names = [shown(name) for name in group[0].level_names]
            radii = np.linspace(0, top * 1.02 or 1.0, 101)
            parts = depth_shares(group, radii)
            colours = [COLOURS[level % len(COLOURS)] for level in range(len(names))]
            axes.stackplot(radii, *parts, labels=names, colors=colours, alpha=0.85, linewidth=0, step="post")
            axes.set(title=shown(tree), xlabel="L2 radius in pixel units", ylim=(0, 100), xlim=(0, radii[-1]))
            legend_below(axes, title="deepest certified level")
        panels[0].set_ylabel("images in percent")
    return figure
