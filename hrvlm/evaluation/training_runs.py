"""What a training run leaves beside its metrics: certificates and accuracies of its epochs, geometry, and curves."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hrvlm.evaluation.folder_names import by_epoch, rows_of_training

METRICS = "metrics.csv"
Metrics: TypeAlias = Sequence[Mapping[str, float]]
"""What was logged at steps, see `read_metrics`."""
_PART = re.compile(r"before|final|epoch=\d+")


@dataclass(frozen=True)
class TrainingRun:
    """The files of rows of a run folder (`version_N`).

    Attributes:
        folder: where they lie.
        certificates: files by "before", "epoch=NNN" and "final", in the order of time.
        robustness: files by "before" and "after".
        geometry: files by epoch.
    """

    folder: Path
    certificates: Mapping[str, list[Path]]
    robustness: Mapping[str, list[Path]]
    geometry: Mapping[int, Path]

    @property
    def end(self) -> list[Path]:
        """Certificates of the end: on fresh noise if there are such, else of the last epoch."""
        return rows_of_training(self.folder).get("run", [])


def training_run(folder: Path) -> TrainingRun | None:
    """The rows of a training run; None for a folder that holds none."""
    parts = {
        path.name: files
        for path in sorted(folder.glob("certificates/*"), key=_when)
        if _PART.fullmatch(path.name) and (files := sorted(path.glob("rank=*.jsonl")))
    }
    stages = {stage: sorted(folder.glob(f"robustness/{stage}.rank=*.jsonl")) for stage in ("before", "after")}
    points = {int(path.stem.partition("=")[2]): path for path in sorted(folder.glob("geometry/epoch=[0-9]*.jsonl"))}
    found = TrainingRun(folder, parts, {stage: paths for stage, paths in stages.items() if paths}, points)
    return found if found.certificates or found.robustness or found.geometry else None


def _when(path: Path) -> tuple[int, int, str]:
    return {"before": 0, "final": 2}.get(path.name, 1), *by_epoch(path)


def read_metrics(path: str | Path) -> list[dict[str, float]]:
    """What a run logged, from its `metrics.csv`: rows with "step" and those numbers that were logged then.

    Raises:
        ValueError: if it is no such file.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = [{name: text for name, text in row.items() if name and text} for row in csv.DictReader(file)]
    try:
        found = [{name: float(text) for name, text in row.items()} for row in rows]
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected numbers in {path}, as Lightning's CSVLogger writes them, got: {error}") from error
    if not all("step" in row for row in found):
        raise ValueError(f"expected a column step in {path}, got none: is it the metrics.csv of a run?")
    return found


def epoch_metrics(folder: Path) -> dict[str, dict[int, float]]:
    """The curves of `metrics.csv`: the last number of each epoch, by name; none where there is no such file.

    Raises:
        ValueError: see `read_metrics`.
    """
    path, found = folder / METRICS, dict[str, dict[int, float]]()
    for row in read_metrics(path) if path.is_file() else ():
        if math.isfinite(epoch := row.get("epoch", math.nan)):
            for name in row.keys() - {"epoch", "step"}:
                found.setdefault(name, {})[int(epoch)] = row[name]
    return found
