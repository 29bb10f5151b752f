"""`certify.py export`: rows in the forms that other tools read, without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.reports.terminal import say
from hrvlm.whole_files import path_of

FORMS = ("tsv", "parquet")


def _parser() -> ClearParser:
    parser = ClearParser()
    parser.add_argument("folder", type=path_of, help="folder of the results of certify.py run or zero-shot")
    parser.add_argument("--to", required=True, choices=FORMS, help="Cohen's tables of smoothing rows, or all rows")
    return parser


def _run(options: Any, given: Any) -> None:
    """Says where the files lie."""
    from hrvlm.cli.results import write_export  # which a parser need not wait for

    for path in write_export(Path(options.folder), options.to):
        say(str(path))


COMMAND = Command(_parser, _run)
