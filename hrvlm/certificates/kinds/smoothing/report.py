"""Smoothing certificates in words, table and figure, see `kinds.report`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hrvlm.certificates.kinds.labelled import at_radius, decimal, percent
from hrvlm.certificates.kinds.report import Judged, KindReport, judged_at
from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.kinds.wording import assumed, limits, reading, unlabelled, values
from hrvlm.certificates.statistics.binomial import smoothing_radius
from hrvlm.rows.tab_separated import Line, table_of
from hrvlm.rows.table import distinct, examples
from hrvlm.trees.words import file_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SmoothingReport(KindReport[SmoothingRecord]):
    """Certified accuracy over the radius, per level."""

    heading = "Smoothing"
    unit, value = "certified radius", "radius"
    caption = "Share of images whose smoothed prediction is right and certified up to the radius."

    def guarantee(self, records: Sequence[SmoothingRecord]) -> list[str]:
        """All levels of an image together; noise, method and assumptions."""
        first = records[0]
        keeps = f"has the stated class{reading(first)}"
        sentences = [
            f"For each image, with probability at least {1 - first.alpha:g} (alpha = {first.alpha:g}) over the noise "
            f"that was drawn, and for all {first.num_statements} levels of the image together: the smoothed classifier "
            f"{keeps} at every point closer than the stated L2 radius to the image.",
            f"The smoothed classifier answers for Gaussian noise of standard deviation {values(records, 'sigma')} in "
            f"{values(records, 'noise_space')}; counts became bounds by: {values(records, 'method')} "
            f"({values(records, 'split')}), from {_samples(records)} counted copies of an image.",
        ]
        return [*sentences, *assumed(records), *unlabelled(records), *limits(records)]

    def plots(self) -> Mapping[str, Callable[[Sequence[SmoothingRecord]], Figure]]:
        """The figure of this kind."""
        from hrvlm.certificates.kinds.smoothing.figures import certified_accuracy

        return {"certified_accuracy": certified_accuracy}

    def table(self, summary: Mapping[str, Any]) -> Table:
        """Certified accuracy at radii and mean radius, one line per level; then all levels of a tree at once."""
        lines = [(tree, level, numbers) for tree, levels in summary.items() for level, numbers in levels.items()]
        radii = list(lines[0][2]["certified_accuracy"]) if lines else []
        unknown = any(numbers["smoothed_accuracy"] is None for *_, numbers in lines)
        what = "share certified, whatever the class, in percent" if unknown else "certified accuracy in percent"
        table = Table(title=f"Smoothing certificates: {what} at L2 radii", title_justify="left")
        for name in ("tree", "level", "smoothed"):
            table.add_column(name, justify="right" if name == "smoothed" else "left")
        for radius in radii:
            table.add_column(at_radius(radius), justify="right")
        table.add_column("mean radius", justify="right")
        for tree, level, numbers in lines:
            told = numbers["certified_share" if unknown else "certified_accuracy"]
            radius = numbers["average_radius" if unknown else "average_certified_radius"]
            cells = [*map(percent, (numbers["smoothed_accuracy"], *told.values())), decimal(radius)]
            table.add_row("(all)" if level == "0" else tree, numbers["level_name"], *cells)
        for tree, levels in summary.items():
            if path := levels[max(levels, key=int)].get("path"):
                shares = [path["smoothed_accuracy"], *path["certified_accuracy"].values()]
                table.add_row(tree, "all levels at once", *(f"{100 * share:.1f}" for share in shares), "")
        return table

    def figures(self, records: Sequence[SmoothingRecord]) -> list[str]:
        """Curves of certified accuracy."""
        from hrvlm.certificates.kinds.smoothing.charts import certified_curves

        return certified_curves(records)

    def judged(self, record: SmoothingRecord) -> Iterable[Judged]:
        """The certified class and its radius."""
        return (judged_at(record, value=record.radius, abstain=record.abstain),)

    def ceiling(self, records: Sequence[SmoothingRecord]) -> float | None:
        """Of a unanimous count; None where other methods than one lower bound gave some radii."""
        if distinct(records, "method") != {"clopper-pearson"}:
            return None
        counted = {(r.n_max or r.n, r.alpha_share, r.sigma, r.threshold) for r in examples(records)}
        return max(float(smoothing_radius(n, n, alpha, s, threshold=t)) for n, alpha, s, t in counted)

    def largest_radius(self, records: Sequence[SmoothingRecord]) -> float:
        """Of all levels."""
        return max(distinct(records, "radius"), default=0.0)

    def tab_separated(self, records: Sequence[SmoothingRecord]) -> dict[str, str]:
        """One table per level of a tree, such as "smoothing.emoji_unicode.1.tsv".

        An abstention has predict -1, radius 0.0 and correct 0, as in the code of Cohen et al.
        """
        tables: dict[str, list[SmoothingRecord]] = defaultdict(list)
        for record in sorted(records, key=lambda record: record.index):
            tables[f"{record.kind}.{file_name(record.tree)}.{record.level}.tsv"].append(record)
        return {name: table_of(map(_line, group)) for name, group in sorted(tables.items())}


def _line(record: SmoothingRecord) -> Line:
    label, correct = (record.label, record.correct) if record.labelled else (None, None)
    if record.abstain:
        return record.index, label, -1, 0.0, correct and False
    return record.index, label, record.prediction, record.radius, correct


def _samples(records: Sequence[SmoothingRecord]) -> str:
    counts = sorted(distinct(records, "n"))
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


REPORT = SmoothingReport()
