"""The documentation quotes the speed measurements that are on file."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_result_file_has_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    measuring = import_module("training_speed")
    result = json.loads(measuring.RESULT.read_text(encoding="utf-8"))
    assert list(result["parts"]) == [part for part in measuring.PARTS if part in result["parts"]]
    assert set(measuring.PARTS) - set(result["parts"]) <= {"hierarchical_averages"}  # a part of later files


def test_a_part_has_a_row_and_a_verdict_once_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    measuring, report = import_module("training_speed"), import_module("speed_report")
    parts = json.loads(measuring.RESULT.read_text(encoding="utf-8"))["parts"]
    without = {name: part for name, part in parts.items() if name != "hierarchical_averages"}
    title = "hierarchical step, averages above the leaves / TeCoA step"
    assert title not in [row[0] for row in report.rows(without)]
    part = {"averages_over_tecoa": {"ratio": 1.1, "processor_ratio": 1.16}}
    assert (title, "1.100", "1.160", "<= 1.15: met / missed by 0.010") in report.rows({"hierarchical_averages": part})
