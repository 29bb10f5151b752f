"""The documentation quotes the comparison of training methods that is on file."""

from __future__ import annotations

import json
import statistics
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_quoted_table_is_that_of_the_result_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = import_module("training_table")
    content = json.loads((ROOT / "benchmarks" / "results" / "training.json").read_text(encoding="utf-8"))
    quoted = table.DOCS.read_text(encoding="utf-8")
    assert table.markdown(content) in quoted
    values = [
        100 * row["accuracy"]
        for row in content["rows"]
        if (row["method"], row["split"], row["level"], row["attack"]) == ("tecoa", "unseen_artist", "leaf", "pgd20")
    ]
    line = next(line for line in quoted.splitlines() if line.startswith("| tecoa |"))
    error = statistics.stdev(values) / len(values) ** 0.5
    assert f"| {statistics.fmean(values):.1f} ± {error:.1f} |" in line
