"""What a training run leaves beside its metrics: certificates and accuracies of its epochs, geometry, and curves."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hrvlm.evaluation.folder_names import by_epoch, rows_of_training

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


def epoch_metrics(folder: Path) -> dict[str, dict[int, float]]:
    """The curves of `metrics.csv`: the last number of each epoch, by name; none where there is no such file.

    Raises:
        ValueError: if it is no such table.
    """
    path, found = folder / "metrics.csv", dict[str, dict[int, float]]()
    if not path.is_file():
        return found
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            epoch = line.get("epoch")
            if not epoch:
                continue
            try:
                numbers = {name: float(text) for name, text in line.items() if text and name not in ("epoch", "step")}
                for name, number in numbers.items():
                    found.setdefault(name, {})[int(float(epoch))] = number
            except (TypeError, ValueError) as error:
                raise ValueError(f"expected numbers in the columns of {path}, got {error}") from error
    return found
