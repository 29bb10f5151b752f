"""Figures of certificates, from rows or records of any kinds, of which each takes its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from matplotlib.figure import Figure

from hrvlm.certificates.kinds.profile.figures import profile_depths
from hrvlm.certificates.kinds.registry import record_from_row
from hrvlm.certificates.kinds.report import ClassName
from hrvlm.certificates.kinds.semantic.figures import interval_bars, mean_invariance
from hrvlm.certificates.kinds.smoothing import figures as smoothing

Rows: TypeAlias = Iterable[Any]
"""Rows, as mappings, or records."""


def certified_accuracy(rows: Rows) -> Figure:
    """Certified accuracy in percent over the L2 radius (pixel units): a panel per tree, a curve per level.

    Args:
        rows: certificates; those of kind "smoothing" are shown.

    Raises:
        ValueError: if there are none of that kind.
    """
    return smoothing.certified_accuracy(of_kind(rows, "smoothing"))


def certified_profile(rows: Rows) -> Figure:
    """Share of images in percent by their deepest certified ancestor over the L2 radius (pixel units), as areas.

    Args:
        rows: certificates; those of kind "profile" are shown.

    Raises:
        ValueError: if there are none of that kind.
    """
    return profile_depths(of_kind(rows, "profile"))


def semantic_invariance(rows: Rows) -> Figure:
    """Mean share of each semantic change that keeps the prediction, in percent: bars per attribute and level.

    Args:
        rows: certificates; those of kind "semantic" are shown.

    Raises:
        ValueError: if there are none of that kind.
    """
    return mean_invariance(of_kind(rows, "semantic"))


def semantic_bars(rows: Rows, index: int, *, scorer: str | None = None, name: ClassName | None = None) -> Figure:
    """The intervals of one image: a bar per attribute and level, from the image to the target.

    Args:
        rows: certificates; those of kind "semantic" are shown.
        index: data set index of the image.
        scorer: which scorer's intervals; None takes the only one.
        name: words for (tree, level, class); None writes numbers.

    Raises:
        ValueError: if the image has no such rows, or those of several scorers and none was chosen.
    """
    image = [record for record in of_kind(rows, "semantic") if record.index == index]
    scorers = sorted({record.scorer for record in image})
    if not image or scorer not in [*scorers, None] or (scorer is None and len(scorers) > 1):
        given = f"image {index}" if scorer is None else f"image {index} and scorer {scorer!r}"
        held = ", ".join(scorers) or "no scorer"
        raise ValueError(f"expected one scorer's semantic rows of an image, got {given}, which has those of {held}")
    return interval_bars([record for record in image if scorer in (None, record.scorer)], name or class_number)


def class_number(tree: str, level: int, label: int) -> str:
    """A class whose name is not known."""
    return f"class {label}"


def of_kind(rows: Rows, kind: str) -> list[Any]:
    """Records of one kind of certificate among rows or records of any kinds.

    Raises:
        ValueError: if there are none.
    """
    found = [row for row in rows if (row.get("kind") if isinstance(row, Mapping) else row.kind) == kind]
    if not found:
        raise ValueError(f"expected rows of kind {kind!r} for this figure, got none")
    return [record_from_row(row) if isinstance(row, Mapping) else row for row in found]
