"""Certificates of answers under an oracle in words and table, see `kinds.report`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from hrvlm.certificates.kinds.labelled import at_radius
from hrvlm.certificates.kinds.oracle.record import UNPARSEABLE, OracleRecord
from hrvlm.certificates.kinds.oracle.wording import oracle_sentences
from hrvlm.certificates.kinds.report import Judged, KindReport, judged_at
from hrvlm.certificates.kinds.wording import assumed, limits


class OracleReport(KindReport[OracleRecord]):
    """Certified accuracy over radii, per oracle and claim."""

    heading = "Generative model with an oracle"
    unit = "certified radius"
    caption = "Answers under an oracle: its own label (composite), and that of an ideal oracle (semantic, corrected)."

    def guarantee(self, records: Sequence[OracleRecord]) -> list[str]:
        """See `oracle_sentences`."""
        return [*oracle_sentences(records), *assumed(records), *limits(records)]

    def table(self, summary: Mapping[str, Any]) -> Table:
        """Certified accuracy over radii, abstentions and unparseable answers, one line per oracle and claim.

        Where no image has a known class, the shares are of certified images whatever their class.
        """
        lines = [(oracle, claim, numbers) for oracle, claims in summary.items() for claim, numbers in claims.items()]
        radii = list(lines[0][2]["certified_accuracy"]) if lines else []
        title = "Answers under an oracle: percent certified right at L2 radii (* certified, right class unknown)"
        table = Table(title=title, title_justify="left")
        for name in ("oracle", "claim", "oracle's error"):
            table.add_column(name)
        for name in (*map(at_radius, radii), "mean radius", "abstain", "unparseable"):
            table.add_column(name, justify="right")
        for oracle, claim, numbers in lines:
            known = numbers["labelled_images"] > 0
            shares = numbers["certified_accuracy" if known else "certified_share"]
            cells = [f"{100 * shares[radius]:.1f}{'' if known else '*'}" for radius in radii]
            mean = f"{numbers['average_certified_radius']:.3f}" if known else _whatever_class(numbers)
            rates = [f"{100 * numbers[name]:.1f}" for name in ("abstention_rate", "unparseable_share")]
            table.add_row(oracle, claim, _error(numbers), *cells, mean, *rates)
            if numbers["unparseable_share"] > 0.5:
                table.caption = (
                    f"Most answers are {UNPARSEABLE} to an oracle: what is certified then is that it cannot read them."
                )
        return table

    def judged(self, record: OracleRecord) -> Iterable[Judged]:
        """The class of the answers, its radius, and one answer as an example."""
        names = {} if record.class_name is None else {record.prediction: record.class_name}
        about = f"{record.oracle}, {record.claim}"
        told = {"value": record.radius, "abstain": record.abstain, "names": names, "text": record.answer}
        return (judged_at(record, about=about, **told),)

    def warnings(self, records: Sequence[OracleRecord]) -> list[str]:
        """Oracles that could make nothing of most answers: certificates then say just that."""
        counted: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for record in records:
            found = counted[record.oracle]
            found[0], found[1] = found[0] + record.unparseable, found[1] + record.n
        return [
            f"Oracle {oracle} could make nothing of {100 * lost / drawn:.0f} % of the answers: certificates of the "
            f"class {UNPARSEABLE} say no more than that; look at the answers and at what the oracle looks for."
            for oracle, (lost, drawn) in counted.items()
            if drawn and 2 * lost > drawn
        ]

    def largest_radius(self, records: Sequence[OracleRecord]) -> float:
        """Of all oracles and claims."""
        return max((record.radius for record in records), default=0.0)


def _whatever_class(numbers: Mapping[str, Any]) -> str:
    """The mean radius where no image has a known class; summaries of earlier runs have none."""
    return f"{numbers['average_radius']:.3f}*" if "average_radius" in numbers else ""


def _error(numbers: Mapping[str, Any]) -> str:
    """The oracle's error that a claim takes off, with the scope that it permits."""
    if numbers["error_model"] is None:
        return "part of the classifier"
    scope = numbers["scope"] if numbers["gamma"] is None else f"all but {100 * numbers['gamma']:g}% of a population"
    return f"{numbers['error_model']} <= {numbers['rate_upper']:.3g} ({scope})"


REPORT = OracleReport()
