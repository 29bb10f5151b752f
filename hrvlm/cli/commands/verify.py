"""`certify.py verify`: derives certificates anew from their rows, without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.command import Command
from hrvlm.cli.errors import ClearParser
from hrvlm.evaluation.folder_names import ROWS_OF
from hrvlm.evaluation.verification import verify
from hrvlm.reports.terminal import say
from hrvlm.rows.uncollected import uncollected
from hrvlm.whole_files import path_of


def _parser() -> ClearParser:
    parser = ClearParser()
    parser.add_argument(
        "folder", type=path_of, help=f"folder that holds {', '.join(ROWS_OF.values())}, or a file of rows"
    )
    parser.add_argument("--expect", type=int | None, help="number of images that there must be rows of")
    return parser


def _run(options: Any, given: Any) -> None:
    """Reports rows that claim something else.

    Raises:
        SystemExit: With code 1 if a row does not hold, or images have no rows.
    """
    with uncollected():
        total = _told(options)
    if total:
        raise SystemExit(1)


def _told(options: Any) -> int:
    """How many problems there are, each of which is told."""
    total = 0
    for found in verify(Path(options.folder), options.expect):
        problems = 0
        for problem in found.problems:
            say(f"{problem.key}: {problem.message}" if problem.key else problem.message)
            problems += 1
        what = {"run": "certificates", "zero-shot": "zero-shot rows"}.get(found.command, "rows of attacks")
        where = f"{found.part}: " if found.part else ""
        print(f"{where}{found.rows.count} {what}, {problems} that do not hold")
        total += problems
    return total


COMMAND = Command(_parser, _run)
