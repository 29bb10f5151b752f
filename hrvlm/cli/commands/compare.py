"""`certify.py compare`: models side by side, from the rows of their folders alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.reports.terminal import console, say
from hrvlm.rows.uncollected import uncollected
from hrvlm.whole_files import check_place, path_of, write_whole

FORMS = "csv,md,tex,html"


def _parser() -> ClearParser:
    parser = ClearParser()
    parser.add_argument(
        "folders",
        type=path_of,
        nargs="+",
        help="folders of certify.py run, attack and zero-shot; the first model is the baseline",
    )
    parser.add_argument("--names", type=str, nargs="+", help="a name per folder; folders of one model share a name")
    parser.add_argument("--radii", type=float, nargs="+", help="L2 radii of certified accuracies; round ones if none")
    parser.add_argument("--confidence", type=float, default=0.95, help="of each interval")
    parser.add_argument("--to", type=str | None, help=f"files to write, of {FORMS}; all if --output alone is given")
    parser.add_argument("--output", type=path_of, help="folder of these files")
    parser.add_argument("--html", type=path_of, help="a page with curves of the models side by side, to write")
    return parser


def _run(options: Any, given: Any) -> None:
    """Prints tables, and writes files where asked.

    Raises:
        ValueError: If folders, names or forms do not fit each other.
    """
    forms = _forms(options.to, options.output)
    from hrvlm.evaluation.comparison import columns_of, compare  # which a parser need not wait for
    from hrvlm.evaluation.comparison_rows import read_results
    from hrvlm.reports.comparison import comparison_tables, explanation, rendered
    from hrvlm.reports.radii import round_radii

    if forms:
        check_place(options.output)
    if options.html:
        check_place(Path(options.html).parent)
    with uncollected():
        results = [read_results(Path(folder)) for folder in options.folders]
        columns = columns_of(results, options.names)
        radii = options.radii
        if radii is None:
            radii = round_radii(max(part.largest_radius() for found in results for part in found))
        comparison = compare(columns, radii, options.confidence)
    out = console()
    for table in comparison_tables(comparison):
        out.print(table)
    for sentence in explanation(comparison):
        say(sentence)
    folders = {column.name: [str(part.folder) for part in column.results] for column in columns}
    files = [(Path(options.output) / f"comparison.{form}", form) for form in forms]
    for path, form in [*files, *([(Path(options.html), "html")] if options.html else [])]:
        write_whole(path, rendered(comparison, form, {"models": folders, "radii": list(radii)}))
        say(str(path))


def _forms(asked: str | None, output: str | None) -> list[str]:
    """Endings of the files to write."""
    if output is None and asked is not None:
        raise ValueError(f"expected --output, a folder for the files that --to {asked} asks for, got none")
    known = FORMS.split(",")
    forms = [] if output is None else [form.strip() for form in (asked or FORMS).split(",")]
    if not set(forms) <= set(known):
        raise ValueError(f"expected --to of {', '.join(known)}, with commas between, got {asked!r}")
    return list(dict.fromkeys(forms))


COMMAND = Command(_parser, _run)
