"""The documentation quotes the speed measurements that are on file."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_quoted_table_is_that_of_the_result_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    measuring, report = import_module("training_speed"), import_module("speed_report")
    result = json.loads(measuring.RESULT.read_text(encoding="utf-8"))
    assert set(result["parts"]) == set(measuring.PARTS)
    assert report.markdown(result) in report.DOCS.read_text(encoding="utf-8")
