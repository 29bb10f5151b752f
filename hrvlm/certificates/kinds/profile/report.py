"""Hierarchical profiles in words, table and figure, see `kinds.report`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hrvlm.certificates.kinds.labelled import at_radius, decimal
from hrvlm.certificates.kinds.profile.record import ProfileRecord
from hrvlm.certificates.kinds.report import Judged, KindReport
from hrvlm.certificates.kinds.wording import assumed, limits, reading, unlabelled
from hrvlm.certificates.statistics.binomial import smoothing_radius

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ProfileReport(KindReport[ProfileRecord]):
    """Where the deepest certified ancestors lie at each radius."""

    heading = "Hierarchical profile"
    unit = "certified radius"
    caption = "For every radius the deepest ancestor that is certified; the rest is certified for the root alone."

    def guarantee(self, records: Sequence[ProfileRecord]) -> list[str]:
        """All trees together, and all radii or those fixed in advance."""
        first = records[0]
        width = "all radii at once, so that a radius may be chosen after looking"
        if first.budget == "fixed radii":
            width = f"the radii {', '.join(f'{radius:g}' for radius in first.asked)}, which were fixed in advance"
        return [
            f"For each image, with probability at least {1 - first.alpha:g} (alpha = {first.alpha:g}) over the noise, "
            f"for its {first.num_statements} trees together and {width}: at every point within the radius the smoothed "
            f"classifier stays below the stated ancestor{reading(first)}.",
            *assumed(records),
            *unlabelled(records),
            *limits(records),
        ]

    def plots(self) -> Mapping[str, Callable[[Sequence[ProfileRecord]], Figure]]:
        """The figure of this kind."""
        from hrvlm.certificates.kinds.profile.figures import profile_depths

        return {"certified_profile": profile_depths}

    def table(self, summary: Mapping[str, Any]) -> Table:
        """Where the deepest certified ancestors lie at each radius, and how many are right, per tree and level."""
        radii = list(dict.fromkeys(radius for tree in summary.values() for radius in tree["deepest"]))
        title = "Hierarchical profile: percent of images whose deepest certified ancestor lies at a level"
        table = Table(title=f"{title} (in brackets: certified at its right node)", title_justify="left")
        for name in ("tree", "level"):
            table.add_column(name)
        for name in (*map(at_radius, radii), "mean radius"):
            table.add_column(name, justify="right")
        for tree, found in summary.items():
            for level, numbers in found["levels"].items():
                cells = [_cell(found["deepest"].get(radius), level, numbers, radius) for radius in radii]
                mean = numbers.get("average_certified_radius")
                table.add_row(tree, numbers["level_name"], *cells, decimal(mean))
            roots = [f"{100 * found['deepest'][r]['root']:.0f}" if r in found["deepest"] else "" for r in radii]
            table.add_row(tree, "(root)", *roots, "")
        return table

    def figures(self, records: Sequence[ProfileRecord]) -> list[str]:
        """Shares of images by their deepest certified level."""
        from hrvlm.certificates.kinds.profile.charts import depth_areas

        return depth_areas(records)

    def ceiling(self, records: Sequence[ProfileRecord]) -> float | None:
        """Of a unanimous count; None where radii were fixed in advance, which leaves no other column."""
        if any(record.asked for record in records):
            return None
        counted = {(r.n, r.alpha_share / len(r.level_names), r.sigma, r.threshold) for r in records}
        return max(float(smoothing_radius(n, n, alpha, sigma, threshold=t)) for n, alpha, sigma, t in counted)

    def judged(self, record: ProfileRecord) -> Iterator[Judged]:
        """The node of every level and its radius."""
        for level, name in enumerate(record.level_names):
            node = record.chain[level]
            radius = record.radii[level] if record.radii else _fixed(record, level)
            yield Judged(
                tree=record.tree, level=level, level_name=name, label=record.labels[level], prediction=node,
                value=radius, abstain=node < 0 or not radius > 0, names={node: record.node_names[level]},
            )  # fmt: skip


def _fixed(record: ProfileRecord, level: int) -> float:
    """The largest radius of those fixed in advance at which a level or one below it is certified."""
    pairs = zip(record.asked, record.deepest, strict=True)
    return max((radius for radius, deepest in pairs if 0 <= deepest <= level), default=0.0)


def _cell(deepest: Mapping[str, float] | None, level: str, numbers: Mapping[str, Any], radius: str) -> str:
    if deepest is None:
        return ""
    share = numbers["certified_accuracy"][radius]
    return f"{100 * deepest[level]:.0f}" + ("" if share is None else f" ({100 * share:.0f})")


REPORT = ProfileReport()
