"""Folders of results: one run at a time writes to each, with its settings noted, and a later one goes on in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrvlm.evaluation.folder_names import ROWS_OF, SETTINGS, SUMMARY, read_settings
from hrvlm.rows.locking import held
from hrvlm.rows.shards import check_unused, shard_files
from hrvlm.whole_files import check_place, write_whole

LOCK = "running.lock"
UNUSUAL = ("calibration", "decoding", "denoiser", "norm", "questions")
"""What settings note only where there is one: rows that were made with it are not gone on with without."""

TOLD_BY_PICTURES = ("image_size",)
"""What settings note of some ways to open pictures only: the digest of pictures tells it of all."""


def _quiet(*_: Any) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Output:
    """Where the results of an evaluation go, and who is told of them.

    Its functions are called on processes that may be started anew: they must be found by name, no lambdas.

    Attributes:
        folder: Folder of the results; rows that it holds already are kept and not made again.
        notes: What `settings.json` shall hold besides what rows depend on.
        say: Gets sentences that a reader of the rows must know, from every process; nobody does by default.
        show: Gets the folder and its summary once both are written and while no other run may write there.
    """

    folder: Path
    notes: Mapping[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = _quiet
    show: Callable[[Path, dict[str, Any]], None] = _quiet


@contextmanager
def opened_folder(
    output: Path, command: str, settings: dict[str, Any], notes: Mapping[str, Any] | None = None
) -> Iterator[Path]:
    """A folder that this run alone writes to until it is left, with its settings noted.

    Args:
        output: Folder of the results, made if absent.
        command: One of `folder_names.ROWS_OF`.
        settings: Whatever must not change between runs that share the folder; JSON values.
        notes: What else `settings.json` shall hold, of the latest run, such as where the data lie.

    Yields:
        Path of the rows.

    Raises:
        ValueError: If the folder is in use, cannot be written to, or holds rows of another command or of other
            settings; nothing in it has changed then.
    """
    check_place(output)
    with held(output / LOCK):
        settings = json.loads(json.dumps(settings))  # as it will be read again: tuples are lists there
        rows = _check_folder(output, command, settings)
        write_whole(output / SETTINGS, json.dumps(settings | dict(notes or {}), indent=2) + "\n")
        yield rows


def _check_folder(output: Path, command: str, settings: dict[str, Any]) -> Path:
    for other, name in ROWS_OF.items():
        if other != command and shard_files(output / name):
            raise ValueError(f"expected a folder for certify.py {command}, got {output} with the rows of {other}")
    rows = output / ROWS_OF[command]
    check_unused(rows)
    noted, begun = read_settings(output), bool(shard_files(rows))  # also without rows yet: some may come any moment
    if begun and noted is None:
        raise ValueError(f"expected {SETTINGS} beside the rows in {output}, found none; choose another output")
    if noted is None:
        return rows
    told = {name for name in TOLD_BY_PICTURES if "pictures" in settings and name not in noted}
    changed = [name for name, value in settings.items() if name not in told and noted.get(name) != value]
    changed += [name for name in UNUSUAL if name in noted and name not in settings]
    if begun and changed:
        raise ValueError(
            f"expected the {', '.join(changed)} that the rows in {output} were made with; choose another output"
        )
    if not set(noted) & set(settings):
        raise ValueError(f"expected settings of certify.py in {output / SETTINGS}, got others; choose another output")
    return rows


def write_summary(output: Path, summary: dict[str, Any]) -> None:
    """Writes summary.json."""
    write_whole(output / SUMMARY, json.dumps(summary, indent=2) + "\n")
