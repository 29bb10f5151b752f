"""What commands show of a folder of results: tables on the terminal, a page, and files for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hrvlm.evaluation.folder_names import ROWS_OF
from hrvlm.evaluation.folder_rows import rows_in
from hrvlm.reports.folder_page import write_report
from hrvlm.reports.terminal import bold, console, say
from hrvlm.whole_files import write_whole


def show_certificates(output: Path, summary: dict[str, Any], radii: Sequence[float]) -> None:
    """Writes the page of a run, prints its tables, and says what it warns of and how much was no number.

    Args:
        output: Folder of the results.
        summary: Its summary.
        radii: L2 radii of the tables, in pixel units.
    """
    from hrvlm.certificates.kinds.invalid import invalid_sentences
    from hrvlm.reports.certificates import certificate_tables

    warnings: list[str] = []
    write_report(output, radii=radii, warn=warnings.append)
    print_results(output, certificate_tables(summary))
    for sentence in (*warnings, *invalid_sentences(summary)):
        say(sentence)


def show_robustness(output: Path, summary: dict[str, Any]) -> None:
    """Writes the page of all rows of attacks, and prints their tables, budget by budget; see `show_certificates`."""
    from hrvlm.attacks.records import robustness_order
    from hrvlm.reports.tables import coherence_tables, robustness_table, transfer_tables
    from hrvlm.rows.shards import run_rows

    rows = run_rows(output / ROWS_OF["attack"], robustness_order)
    budgets, tables = summary.get("budgets", [summary]), []
    for found in budgets:
        budget = f"{found['norm']} eps={found['eps'] * 255:.3g}/255"
        title = f"{budget}: accuracy in percent of {found['images']} images, each level attacked by its own classifier"
        group = [row for row in rows if row["eps"] == found["eps"]]
        tables += [robustness_table(group, title=title), *transfer_tables(group), *coherence_tables(group)]
    write_report(output)
    print_results(output, tables)
    invalid = max(found.get("invalid", 0) for found in budgets)
    if invalid:
        print(
            f"Scores of {invalid} images, clean or attacked, were not finite (NaN or infinity): they count "
            "as wrong. Check the weights."
        )


def show_zero_shot(output: Path, summary: dict[str, Any]) -> None:
    """Prints the tables of zero-shot evaluation; see `show_certificates`."""
    from hrvlm.reports.zero_shot_tables import zero_shot_tables

    write_report(output)
    print_results(output, zero_shot_tables(summary))
    if "invalid" in summary:
        print(f"Scores of {summary['invalid']} images, clean or attacked, were not finite: they count as wrong.")


def show_targeted_attacks(output: Path, summary: dict[str, Any], forbidden: str) -> None:
    """Writes the page of targeted attacks, and prints their table; see `show_certificates`."""
    from hrvlm.reports.targeted_attack_table import targeted_attack_table

    write_report(output)
    print_results(output, [targeted_attack_table(summary, forbidden=forbidden)])


def print_results(output: Path, tables: list[Any]) -> None:
    """Prints tables, and where the results lie."""
    out = console()
    for table in tables:
        out.print(table)
    out.print(bold(output, "Results: "), highlight=False)


def write_export(folder: Path, form: str) -> list[Path]:
    """Writes the rows of a folder in another form.

    Args:
        folder: Folder of the results of a run, or of a training run, whose certificates of the end are written.
        form: "tsv" for tables of smoothing rows, or "parquet" for all rows.

    Returns:
        The files.

    Raises:
        ValueError: If there are no rows that can be exported, or pyarrow is missing.
    """
    from hrvlm.certificates.kinds.registry import merge_rows
    from hrvlm.evaluation.training_runs import training_run
    from hrvlm.reports.exporting import to_tsv, write_parquet

    rows, zero_shot = rows_in(folder, "run"), rows_in(folder, "zero-shot")
    trained = training_run(folder)
    if trained is not None and not rows:
        rows = merge_rows(trained.end)
    if not rows and not zero_shot:
        raise ValueError(f"expected rows of certify.py run or zero-shot in {folder}, found none")
    if form == "parquet":
        return write_parquet([*rows, *zero_shot], folder)
    tables = to_tsv(rows)
    for name, text in tables.items():
        write_whole(folder / name, text)
    return [folder / name for name in tables]
