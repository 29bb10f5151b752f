"""What commands show of a folder of results: tables on the terminal, a page, and files for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlm.evaluation.folder_names import ROWS_OF, read_settings
from hrvlm.reports.terminal import bold, console, say
from hrvlm.whole_files import write_whole

if TYPE_CHECKING:
    from hrvlm.reports.html import AtHand

REPORT = "report.html"


def show_certificates(output: Path, summary: dict[str, Any], radii: Sequence[float]) -> None:
    """Writes the page of a run, prints its tables, and says how much was no number.

    Args:
        output: Folder of the results.
        summary: Its summary.
        radii: L2 radii of the tables, in pixel units.
    """
    from hrvlm.certificates.kinds.invalid import invalid_sentences
    from hrvlm.reports.certificates import certificate_tables

    write_report(output, radii=radii)
    print_results(output, certificate_tables(summary))
    for sentence in invalid_sentences(summary):
        say(sentence)


def show_robustness(output: Path, summary: dict[str, Any]) -> None:
    """Prints the tables of all rows of attacks, budget by budget; see `show_certificates`."""
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
        folder: Folder of the results of a run.
        form: "tsv" for tables of smoothing rows, or "parquet" for all rows.

    Returns:
        The files.

    Raises:
        ValueError: If there are no rows that can be exported, or pyarrow is missing.
    """
    from hrvlm.reports.exporting import to_tsv, write_parquet

    rows, zero_shot = _rows(folder, "run"), _rows(folder, "zero-shot")
    if not rows and not zero_shot:
        raise ValueError(f"expected rows of certify.py run or zero-shot in {folder}, found none")
    if form == "parquet":
        return write_parquet([*rows, *zero_shot], folder)
    tables = to_tsv(rows)
    for name, text in tables.items():
        write_whole(folder / name, text)
    return [folder / name for name in tables]


def write_report(
    folder: Path, *, robustness: Path | None = None, radii: Sequence[float] | None = None
) -> tuple[Path, str]:
    """Writes `report.html` into a folder of results.

    Args:
        folder: Holds certificates, robustness rows, or both; or rows of attacks towards a forbidden answer.
        robustness: Another folder with robustness rows.
        radii: L2 radii of the tables; None takes round ones.

    Returns:
        The report, and why it has no pictures ("" if it has).

    Raises:
        ValueError: If there are no rows.
    """
    from hrvlm.certificates.kinds.header import header_of
    from hrvlm.reports.collecting import Certificates
    from hrvlm.reports.html import render_report
    from hrvlm.rows.shards import shard_files

    paths, settings = shard_files(folder / ROWS_OF["run"]), read_settings(folder) or {}
    attacked = _rows(folder if robustness is None else robustness, "attack")
    if robustness is not None and not attacked:
        raise ValueError(f"expected rows of certify.py attack in {robustness}, found none")
    targeted, zero_shot = _rows(folder, "targeted-attack"), _rows(folder, "zero-shot")
    if not any(path.stat().st_size for path in paths) and not attacked and not targeted and not zero_shot:
        raise ValueError(
            f"expected rows of certify.py run, attack, zero-shot or targeted-attack in {folder}, found none"
        )
    rows = Certificates.of_files(paths, header_of(settings) if paths else None)
    at_hand, lacking = look_around(settings) if not zero_shot else (None, "")  # whose page shows no pictures
    what = "Zero-shot accuracy" if zero_shot else "Certificates"
    title = f"{what} of {settings['given_checkpoint']}" if "given_checkpoint" in settings else what
    given: dict[str, Any] = {"title": title, "radii": radii, "settings": settings, "at_hand": at_hand}
    page = render_report(rows, attacked, targeted_attacks=targeted, zero_shot=zero_shot, **given)
    write_whole(folder / REPORT, page)
    return folder / REPORT, lacking


def _rows(folder: Path, command: str) -> list[dict[str, Any]]:
    from hrvlm.certificates import read_rows
    from hrvlm.certificates.kinds.registry import row_key
    from hrvlm.rows.shards import run_rows, shard_files

    path = folder / ROWS_OF[command]
    if command == "zero-shot" and shard_files(path):
        from hrvlm.evaluation.zero_shot.records import zero_shot_order  # which certificates alone do not wait for

        return run_rows(path, zero_shot_order)
    if command != "run":
        return read_rows(path) if path.is_file() else []
    return run_rows(path, row_key) if shard_files(path) else []


def look_around(settings: dict[str, Any]) -> tuple[AtHand, str]:
    """Pictures and names of classes by what a run noted of its data and trees; and why there are none, if so."""
    from hrvlm.evaluation.noted import ChangedDataError, noted_data
    from hrvlm.reports.html import AtHand

    try:
        data, forest = noted_data(settings)
    except ChangedDataError as error:
        return AtHand(), str(error)
    except Exception as error:  # what a folder says may be wrong in any way; its rows are told of all the same
        return AtHand(), f"the data set is not at hand ({' '.join(str(error).split())})"
    levels = [(tree, level.index) for tree in forest or () for level in tree.levels]
    names = {(tree.name, level): tree.levels[level].names for tree, level in levels}
    parents = {(tree.name, k): tree.parents(k).tolist() for tree, k in levels if k + 1 < len(tree.levels)}
    return AtHand(lambda index: data[index][0], names, parents), ""
