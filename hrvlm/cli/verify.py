"""`certify.py verify`: derives certificates anew from their rows, without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.cli.errors import ClearParser
from hrvlm.cli.folder_names import ROWS_OF

ROWS = ROWS_OF["run"]


def add_parser(commands: Any) -> None:
    """Adds the command `verify` to those of `certify.py`."""
    parser = ClearParser(description="Derives every certificate anew from its row, without the model.")
    parser.add_argument("folder", type=str, help=f"folder that holds {ROWS}")
    commands.add_subcommand("verify", parser)


def verify(folder: Path) -> None:
    """Derives every certificate anew and reports rows that claim something else.

    Raises:
        SystemExit: With code 1 if a row does not hold.
    """
    from hrvlm.certificates import verify_rows  # needs torch and SciPy, which a parser does not
    from hrvlm.certificates.parts import part_files, unchecked_rows

    path = folder / ROWS
    if not part_files(path):
        raise ValueError(f"expected the rows of a run at {path}, found none; make them with certify.py run")
    rows = unchecked_rows(path)
    problems = verify_rows(rows)
    for problem in problems:
        print(f"{problem.key}: {problem.message}")
    print(f"{len(rows)} certificates, {len(problems)} that do not hold")
    if problems:
        raise SystemExit(1)
