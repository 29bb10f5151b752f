"""The examples of docs/python.md run as they stand there, one after the other."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from report_rows import robustness_rows, semantic_rows
from test_loaded_results import SMOOTHING, trained, write

ROOT = Path(__file__).parents[2]

__all__ = ["trained"]


def test_examples_of_the_documentation_run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("pandas", "polars"):
        pytest.importorskip(library)
    home = trained.parent / "home"
    shutil.copytree(trained, home / "runs/quickstart/version_0")
    write(home / "runs/certified/certificates.jsonl", [*SMOOTHING, *semantic_rows(2)])
    monkeypatch.chdir(home)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile("\n".join(blocks), "docs/python.md", "exec"), names)
    assert names["problems"] == []
    assert names["radii"] == [row["radius"] for row in SMOOTHING if row["level"] == 0]
    assert len(names["frame"]) == 6  # type: ignore[arg-type]
    assert len(names["attacks"]) == 2 * len(robustness_rows())  # type: ignore[arg-type]
    drawn = {"certified_accuracy", "transfer_matrix", "level_geometry", "training_curves", "certified_by_epoch"}
    assert {path.stem for path in home.glob("*.svg")} == drawn
    assert {path.stem for path in home.glob("*.png")} == {"certified_accuracy", "leaves"}
