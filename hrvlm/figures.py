"""The style of static figures: SVG that takes the colour of the text around it, to read in light and in dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hrvlm.trees.words import shortened

_SHORT = 24  # letters of names that have room beside each other in a legend
INK = "#010203"  # stands for the colour of the text until the SVG is written
COLOURS = ("#3b82c4", "#d9822b", "#2e9e6b", "#c45aa0", "#8a78d0", "#a5803f", "#5aa6a6", "#9a9a9a")
SAME, RIGHT, OTHER, NOTHING = "#3b82c4", "#2e9e6b", "#d9822b", "#9a9a9a"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "text.usetex": False,
    "figure.constrained_layout.use": True,
}


def shown(name: str, most: int = 40) -> str:
    """A name as a figure shows it: control characters written out, long ones cut."""
    text = shortened(name, most)
    return f"\u200b{text}" if text.startswith("_") else text  # matplotlib leaves such labels out of legends


def svg(figure: Figure, description: str) -> str:
    """A figure as an SVG element to put into a page.

    Args:
        figure: made within `STYLE`.
        description: what it shows, for those who cannot see it.
    """
    with mpl.rc_context(STYLE | {"svg.hashsalt": description}):
        out = io.StringIO()
        with warnings.catch_warnings():  # letters stay letters in the page, whose fonts have more of them
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """A figure as a picture `(H, W, 3)` on white, for what takes no figures, such as loggers."""
    figure.set_facecolor("white")
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():  # as in `svg`: letters that the font lacks are boxes here
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def room(names: Iterable[str]) -> float:
    """Inches that names need beyond the usual ones, where they label an axis or a legend."""
    return 0.09 * max(0, max(len(shown(name, 60)) for name in names) - 24)


def legend_below(axes: Any, **more: Any) -> None:
    """A legend below the axes, since curves and areas may be anywhere in them.

    Args:
        axes: with their label already below them.
        **more: what else a legend takes.
    """
    names = axes.get_legend_handles_labels()[1]
    beside = 2 if max(map(len, names), default=0) <= _SHORT else 1
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=beside, **more)


def panels_beside(count: int, *, height: float, beside: float = 0.0) -> tuple[Figure, list[Any]]:
    """Panels side by side, with so many inches left for a legend."""
    figure = Figure(figsize=(max(4.6, 3.6 * count) + beside, height))
    return figure, list(figure.subplots(1, count, sharey=True, squeeze=False)[0])
