"""The tables that commands print, of records of any commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from hrvlm.reports.radii import round_radii

Records = Sequence[Any]


def tables_of(records: Mapping[str, Records], radii: Sequence[float] | None = None) -> Iterator[Table]:
    """Tables of certificates, of attacks, of attacks towards a forbidden answer, and of zero-shot accuracy.

    Args:
        records: by the command of `certify.py` that makes them, see `hrvlm.evaluation.folder_names.ROWS_OF`.
        radii: L2 radii of certified accuracy, in pixel units; None takes round ones.
    """
    if certificates := records.get("run"):
        yield from _of_certificates(certificates, radii)
    if attacks := records.get("attack"):
        yield from _of_attacks(attacks)
    if pushes := records.get("targeted-attack"):
        from hrvlm.generative.targeted_attack_records import summarise_targeted_attacks
        from hrvlm.reports.targeted_attack_table import targeted_attack_table

        yield targeted_attack_table(summarise_targeted_attacks(pushes), forbidden=pushes[0].forbidden)
    if zero_shot := records.get("zero-shot"):
        from hrvlm.evaluation.zero_shot.summary import summarise_zero_shot
        from hrvlm.reports.zero_shot_tables import zero_shot_tables

        yield from zero_shot_tables(summarise_zero_shot(record.to_row() for record in zero_shot))


def _of_certificates(records: Records, radii: Sequence[float] | None) -> Iterator[Table]:
    from hrvlm.certificates.kinds.summary import summarise
    from hrvlm.reports.certificates import certificate_tables, reports_of

    if radii is None:
        radii = round_radii(max(report.largest_radius(group) for _, report, group in reports_of(records)))
    yield from certificate_tables(summarise(records, radii))


def _of_attacks(records: Records) -> Iterator[Table]:
    """Accuracies of each budget, stages side by side; then how attacks on the last stage transfer."""
    from hrvlm.reports.tables import coherence_tables, robustness_table, transfer_tables

    for norm, eps in dict.fromkeys((record.norm, record.eps) for record in records):
        rows = [asdict(record) for record in records if (record.norm, record.eps) == (norm, eps)]
        yield robustness_table(rows, title=f"Accuracy in percent, {norm} eps={eps * 255:.3g}/255")
        stages = {row["stage"] for row in rows}
        last = [row for row in rows if row["stage"] == ("after" if "after" in stages else row["stage"])]
        if len({row["stage"] for row in last}) == 1:
            yield from (*transfer_tables(last), *coherence_tables(last))
