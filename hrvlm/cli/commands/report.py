"""`certify.py report`: a page that is made from a folder of rows, without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.reports.terminal import say
from hrvlm.rows.uncollected import uncollected
from hrvlm.whole_files import path_of


def _parser() -> ClearParser:
    parser = ClearParser()
    parser.add_argument(
        "folder",
        type=path_of,
        help="folder of certify.py run, attack, zero-shot or targeted-attack, or of a training run",
    )
    parser.add_argument("--robustness", type=str | None, help="folder of certify.py attack, to be told of as well")
    return parser


def _run(options: Any, given: Any) -> None:
    """Says where the report lies and what it lacks."""
    from hrvlm.reports.folder_page import write_report  # which a parser need not wait for

    robustness = None if options.robustness is None else Path(options.robustness)
    with uncollected():
        path, lacking = write_report(Path(options.folder), robustness=robustness)
    say(f"{path}" + (f" (without pictures: {lacking})" if lacking else ""))


COMMAND = Command(_parser, _run)
