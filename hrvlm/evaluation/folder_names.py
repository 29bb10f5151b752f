"""Names of the files in a folder of results, and its settings, for commands that only read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrvlm.trees.bounded_text import read_json

SUMMARY, SETTINGS, CALIBRATION = "summary.json", "settings.json", "calibration.json"
PROCESSES = "processes.json"
"""How long each process of a run worked and waited for others, of the last run in several processes."""
ROWS_OF = {
    "run": "certificates.jsonl",
    "attack": "robustness.jsonl",
    "targeted-attack": "pushes.jsonl",
    "zero-shot": "zero_shot.jsonl",
}


def read_settings(folder: Path) -> dict[str, Any] | None:
    """What `settings.json` of a folder of results notes; None if there is no such file.

    Raises:
        ValueError: If it is not a readable JSON object, as `certify.py` writes it whole.
    """
    path = folder / SETTINGS
    if not path.exists():
        return None
    try:
        noted = read_json(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, " ".join(str(error).split())[:200]) from error
    if not isinstance(noted, dict):
        raise _unreadable(path, f"a JSON {type(noted).__name__}")
    return noted


def rows_of_training(folder: Path) -> dict[str, list[Path]]:
    """Files of rows of a training run by the command that makes such rows, see `ROWS_OF`; none of other folders.

    They are those of the end: robustness after training, certificates on fresh noise if there are such, else of the
    last epoch.
    """
    attacked = sorted(folder.glob("robustness/after.rank=*.jsonl"))
    ends = [folder / "certificates" / "final", *sorted(folder.glob("certificates/epoch=*"), key=by_epoch, reverse=True)]
    certified = next((paths for end in ends if (paths := sorted(end.glob("rank=*.jsonl")))), [])
    return {command: paths for command, paths in (("attack", attacked), ("run", certified)) if paths}


def by_epoch(path: Path) -> tuple[int, str]:
    """What parts "epoch=NNN" of a training run are ordered by; from epoch 1,000 on names are longer."""
    return len(path.name), path.name


def _unreadable(path: Path, found: str) -> ValueError:
    return ValueError(
        f"expected the settings of a run as a JSON object at {path}, got {found}: put back the file that certify.py "
        "wrote, or choose another output; no rows were touched"
    )
