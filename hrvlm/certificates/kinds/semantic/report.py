"""Semantic extents in words, table and figures, see `kinds.report`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hrvlm.certificates.kinds.labelled import percent
from hrvlm.certificates.kinds.report import Change, Judged, KindReport, judged_at
from hrvlm.certificates.kinds.semantic.calibrated_words import calibrated_words
from hrvlm.certificates.kinds.semantic.record import TEXT, SemanticRecord
from hrvlm.certificates.kinds.wording import unlabelled, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SemanticReport(KindReport[SemanticRecord]):
    """Mean invariant shares, and the intervals of single images."""

    heading = "Semantic extent"
    caption = "Share of the way from the image to the target on which the prediction provably does not change."
    unit = "invariant share"

    def guarantee(self, records: Sequence[SemanticRecord]) -> list[str]:
        """Deterministic statements about embeddings."""
        return [
            "Deterministic, no alpha: while the image's embedding is rotated in the plane of a prompt pair from its "
            "own angle to the target's, the classifier of the level predicts each interval's class at every angle "
            "inside it.",
            f"The statement is about embeddings, in double precision, under the scorers {values(records, 'scorer')}; "
            "how well the rotation stands for pictures of the change is an empirical matter.",
            *unlabelled(records, prompts=True),
            *_observed(records),
            *calibrated_words(records),
        ]

    def plots(self) -> Mapping[str, Callable[[Sequence[SemanticRecord]], Figure]]:
        """The figure of this kind."""
        from hrvlm.certificates.kinds.semantic.figures import mean_invariance

        return {"semantic_invariance": mean_invariance}

    def table(self, summary: Mapping[str, Any]) -> Table:
        """Mean share of the semantic range on which the prediction cannot change, one line per level and scorer.

        Where rows state stable coverage, its mean over the attributes follows per misalignment bound; where they state
        calibrated stretches, the mean share of the change that is claimed follows, per rate and form.
        """
        groups = [
            (name, target, list(numbers["stable_coverage"]), "reference" in numbers, _rates(numbers))
            for levels in summary.values()
            for found in levels.values()
            for name, scorers in found.items()
            for targets in scorers.values()
            for target, numbers in targets.items()
        ]
        attributes = sorted({(name, target) for name, target, *_ in groups})
        deltas = sorted({delta for _, _, stated, _, _ in groups for delta in stated}, key=float)
        table = Table(title="Semantic certificates: mean invariant share of the range in percent", title_justify="left")
        for column in ("tree", "level", "scorer"):
            table.add_column(column)
        for name, target in attributes:
            table.add_column(name if target == TEXT else f"{name} ({target})", justify="right")
        for delta in deltas:
            table.add_column(f"stable at delta={delta}", justify="right")
        seen = {(name, target) for name, target, _, arcs, _ in groups if arcs}
        for name, _ in sorted(seen):
            table.add_column(f"{name}: discrepancy", justify="right")
        rates = sorted({rate for *_, stated in groups for rate in stated}, key=lambda rate: (float(rate[0]), rate))
        for epsilon, form in rates:
            table.add_column(f"calibrated at {epsilon} ({form})", justify="right")
        for tree, levels in summary.items():
            for level, found in levels.items():
                for scorer in sorted({scorer for scorers in found.values() for scorer in scorers}):
                    numbers = [found.get(name, {}).get(scorer, {}).get(target) for name, target in attributes]
                    arcs = [found.get(name, {}).get(scorer, {}).get(target) for name, target in sorted(seen)]
                    _add_line(table, "(all)" if level == "0" else tree, scorer, (numbers, arcs), deltas, rates)
        return table

    def figures(self, records: Sequence[SemanticRecord]) -> list[str]:
        """Bars of mean invariant shares."""
        from hrvlm.certificates.kinds.semantic.charts import mean_bars

        return mean_bars(records)

    def judged(self, record: SemanticRecord) -> Iterable[Judged]:
        """The class of the image itself, and its invariant share."""
        return (judged_at(record, about=record.scorer, value=record.invariance, abstain=not record.intervals),)

    def change(self, record: SemanticRecord) -> Change:
        """The intervals as shares of the way, and the calibrated stretches, each alone, at marginal rates."""
        whole = abs(record.stop - record.start)
        name = record.attribute if record.target_kind == TEXT else f"{record.attribute} ({record.target_kind})"
        ends = [(abs(end - record.start) / whole if whole else 1.0, label) for _, end, label in record.intervals]
        stretches = [(epsilon, min(1.0, extent / whole)) for epsilon, extent in record.marginal_extents if whole]
        return Change(change=name, intervals=ends, stretches=stretches)


def _observed(records: Sequence[SemanticRecord]) -> list[str]:
    """What pictures in order show beside the claims."""
    seen = {record.index for record in records if record.reference is not None}
    if not seen:
        return []
    return [
        f"Beside the claims, of {len(seen)} images: the discrepancy is how far the invariant share is from that along "
        "the arc fitted to pictures of the change in order; an observation about these pictures, not a guarantee."
    ]


def _rates(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rates and forms at which claims are calibrated, each alone."""
    return [(rate, form) for rate, forms in numbers.get("calibrated", {}).get("alone", {}).items() for form in forms]


def _add_line(
    table: Table,
    tree: str,
    scorer: str,
    found: tuple[list[Any], list[Any]],
    deltas: list[str],
    rates: list[tuple[str, str]],
) -> None:
    numbers, arcs = found
    shares = ["" if number is None else f"{100 * number['mean_invariance']:.1f}" for number in numbers]
    present = [number for number in numbers if number is not None]
    for delta in deltas:
        stable = [number["stable_coverage"][delta] for number in present if delta in number["stable_coverage"]]
        shares.append(f"{100 * sum(stable) / len(stable):.1f}" if stable else "")
    discrepancies = [None if arc is None or "reference" not in arc else arc["reference"] for arc in arcs]
    shares += [percent(None if each is None else each["mean_discrepancy"]) for each in discrepancies]
    alone = [number.get("calibrated", {}).get("alone", {}) for number in present]
    for rate, form in rates:
        stated = [known[rate][form]["mean_share"] for known in alone if form in known.get(rate, {})]
        shares.append(percent(sum(stated) / len(stated) if stated else None))
    table.add_row(tree, present[0]["level_name"], scorer, *shares)


REPORT = SemanticReport()
