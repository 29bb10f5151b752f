"""Joint certificates in words and table, see `kinds.report`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from hrvlm.certificates.kinds.joint.record import JointRecord
from hrvlm.certificates.kinds.labelled import at_radius, decimal
from hrvlm.certificates.kinds.report import Judged, KindReport, judged_at
from hrvlm.certificates.kinds.wording import assumed, limits, unlabelled


class JointReport(KindReport[JointRecord]):
    """Mean extents at radii, and mean radii at extents."""

    heading = "Joint pixel-and-semantic"
    unit = "mean radius at the first extent"
    caption = "Pixels and meaning together: every image within the radius, moved up to the extent."

    def guarantee(self, records: Sequence[JointRecord]) -> list[str]:
        """All joint statements of an image together."""
        first = records[0]
        return [
            f"For each image, with probability at least {1 - first.alpha:g} (alpha = {first.alpha:g}) over the noise, "
            f"for its {first.num_statements} joint statements together: for EVERY image within the stated L2 radius, a "
            f"share above {first.threshold:g} of its noisy copies keeps the class at every point of the semantic move "
            "up to the stated extent. Radii and extents were fixed in advance; the move is of embeddings.",
            *assumed(records),
            *unlabelled(records, prompts=True),
            *limits(records),
        ]

    def table(self, summary: Mapping[str, Any]) -> Table:
        """Mean certified extent at radii and mean radius at extents, one line per level, attribute and scorer."""
        lines = [
            (tree, level, attribute, scorer, numbers)
            for tree, levels in summary.items()
            for level, attributes in levels.items()
            for attribute, scorers in attributes.items()
            for scorer, numbers in scorers.items()
        ]
        title = "Joint certificates: mean extent (radians) for every image within r, mean L2 radius up to extent e"
        if any(numbers["smoothed_accuracy"] is None for *_, numbers in lines):
            title += ", whatever the class"
        table = Table(title=title, title_justify="left")
        for name in ("tree", "level", "attribute", "scorer"):
            table.add_column(name)
        first = lines[0][-1] if lines else {"at_radii": {}, "at_extents": {}}
        for name in (*map(at_radius, first["at_radii"]), *(f"e={float(e):g}" for e in first["at_extents"])):
            table.add_column(name, justify="right")
        for tree, level, attribute, scorer, numbers in lines:
            means = [_mean(found, "mean_extent") for found in numbers["at_radii"].values()]
            cells = [*means, *(_mean(found, "mean_radius") for found in numbers["at_extents"].values())]
            table.add_row("(all)" if level == "0" else tree, numbers["level_name"], attribute, scorer, *cells)
        return table

    def judged(self, record: JointRecord) -> Iterable[Judged]:
        """The class at radius and extent, and the largest radius up to the first extent that was asked for."""
        radius = record.at_extents[0][1] if record.at_extents else None
        return (judged_at(record, about=record.scorer, value=radius, abstain=record.abstain),)


def _mean(found: Mapping[str, Any], name: str) -> str:
    """The mean over images of the right class; where none has a label, over all."""
    return decimal(found[name] if found[name] is not None else found[f"{name}_whatever_class"])


REPORT = JointReport()
