"""Figures of certificates, from rows or records of any kinds, of which each takes its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from matplotlib.figure import Figure

from hrvlm.certificates.kinds.registry import kinds, record_from_row
from hrvlm.certificates.kinds.report import report_of
from hrvlm.certificates.kinds.semantic.figures import ClassName, bars_of_image
from hrvlm.reports.certificates import reports_of

Rows: TypeAlias = Iterable[Any]
"""Rows, as mappings, or records."""


def certified_accuracy(rows: Rows) -> Figure:
    """Certified accuracy in percent over the L2 radius (pixel units): a panel per tree, a curve per level.

    Args:
        rows: certificates; those of randomized smoothing are shown.

    Raises:
        ValueError: if there are none of that kind.
    """
    return certificate_figure("certified_accuracy", rows)


def certified_profile(rows: Rows) -> Figure:
    """Share of images in percent by their deepest certified ancestor over the L2 radius (pixel units), as areas.

    Args:
        rows: certificates; hierarchical profiles are shown.

    Raises:
        ValueError: if there are none of that kind.
    """
    return certificate_figure("certified_profile", rows)


def semantic_invariance(rows: Rows) -> Figure:
    """Mean share of each semantic change that keeps the prediction, in percent: bars per attribute and level.

    Args:
        rows: certificates; those of semantic extents are shown.

    Raises:
        ValueError: if there are none of that kind.
    """
    return certificate_figure("semantic_invariance", rows)


def semantic_bars(rows: Rows, index: int, *, scorer: str | None = None, name: ClassName | None = None) -> Figure:
    """The intervals of one image: a bar per attribute and level, from the image to the target.

    Args:
        rows: certificates; those of semantic extents are shown.
        index: data set index of the image.
        scorer: which scorer's intervals; None takes the only one.
        name: words for (tree, level, class); None writes numbers.

    Raises:
        ValueError: if the image has no such rows, or those of several scorers and none was chosen.
    """
    return bars_of_image(_records(rows), index, scorer, name or class_number)


def class_number(tree: str, level: int, label: int) -> str:
    """A class whose name is not known."""
    return f"class {label}"


def certificate_figure(name: str, rows: Rows) -> Figure:
    """The figure of a name that a kind of certificate draws of its records, see `KindReport.plots`.

    Args:
        name: of the figure.
        rows: certificates of any kinds.

    Raises:
        ValueError: if there are none of that kind.
    """
    for _, report, group in reports_of(_records(rows)):
        if name in report.plots():
            return report.plots()[name](group)
    wanted = " or ".join(kind.name for kind in kinds() if name in report_of(kind).plots())
    raise ValueError(f"expected {wanted} rows for the figure {name}, got none")


def certificate_figures(rows: Rows) -> list[str]:
    """Names of the figures that can be drawn of certificates."""
    return [name for _, report, _ in reports_of(_records(rows)) for name in report.plots()]


def _records(rows: Rows) -> list[Any]:
    return [record_from_row(row) if isinstance(row, Mapping) else row for row in rows]
