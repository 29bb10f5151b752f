"""How deep certificates reach at each radius, for pages; see `figures` for the same in matplotlib."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.charts.areas import areas
from hrvlm.charts.frame import Axes
from hrvlm.charts.lines import Curve


def depth_areas(records: Sequence[ProfileRecord]) -> list[str]:
    """Share of images by the level of the deepest ancestor certified at each radius: a chart per tree."""
    top = max((radius for record in records for radius, level in record.steps if level >= 0), default=0.0) or 1.0
    charts = []
    for tree in sorted({record.tree for record in records}):
        group = [record for record in records if record.tree == tree]
        radii = np.linspace(0, top * 1.02, 76)
        shares = depth_shares(group, radii)
        names = group[0].level_names
        layers = [Curve(name, radii.tolist(), shares[level].tolist()) for level, name in enumerate(names)]
        axes = Axes(
            title=tree, x_label="L2 radius in pixel units", y_label="images in percent", x=(0.0, float(radii[-1])),
            description=f"Deepest certified level over the L2 radius, tree {tree}, from {', '.join(names)}; the rest "
            "is certified for the root alone",
        )  # fmt: skip
        charts.append(areas(layers, axes))
    return charts


def depth_shares(records: Sequence[ProfileRecord], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of images `(L, R)` whose deepest certified ancestor at a radius lies at a level; profiles of one tree."""
    depths = np.array([[record.deepest_at(radius) for radius in radii] for record in records])
    return np.stack([100 * (depths == level).mean(axis=0) for level in range(len(records[0].level_names))])
