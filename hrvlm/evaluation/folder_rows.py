"""The rows in a folder of results, by the command of `certify.py` that makes such rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.evaluation.folder_names import ROWS_OF


def files_in(folder: Path) -> dict[str, list[Path]]:
    """Files of rows by command, as far as there are any; several where processes have not been merged yet."""
    from hrvlm.rows.shards import shard_files  # needs torch, which a parser does not

    found = {command: shard_files(folder / name) for command, name in ROWS_OF.items()}
    return {command: paths for command, paths in found.items() if paths}


def rows_in(folder: Path, command: str) -> list[dict[str, Any]]:
    """Rows of one command, in order; of targeted attacks those that have been merged.

    Raises:
        ValueError: If a file is none of rows.
    """
    from hrvlm.certificates.kinds.registry import record_at, record_key
    from hrvlm.rows.jsonl import read_rows
    from hrvlm.rows.shards import run_rows

    path = folder / ROWS_OF[command]
    if command not in files_in(folder):
        return []
    if command == "run":
        return run_rows(path, record_key, record_at)
    if command == "attack":
        from hrvlm.attacks.records import robustness_order

        return run_rows(path, robustness_order)
    if command == "zero-shot":
        from hrvlm.evaluation.zero_shot.records import zero_shot_order  # which certificates alone do not wait for

        return run_rows(path, zero_shot_order)
    return read_rows(path) if path.is_file() else []
