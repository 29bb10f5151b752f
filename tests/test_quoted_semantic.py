"""The documentation quotes the semantic benchmark that is on file, whole and for all changes."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, dict[str, Any]]:
    """The report, the changes, and the result file."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    result = json.loads((ROOT / "benchmarks" / "results" / "semantic.json").read_text(encoding="utf-8"))
    return import_module("semantic_report"), import_module("semantic_changes"), result


def test_the_quoted_tables_are_those_of_the_result_file(measured: tuple[Any, Any, dict[str, Any]]) -> None:
    report, changes, result = measured
    assert [entry["name"] for entry in result["changes"]] == [change.name for change in changes.CHANGES]
    assert report.markdown(result) in report.DOCS.read_text(encoding="utf-8")
    assert report.markdown(result) == report.TABLE.read_text(encoding="utf-8")


def test_the_result_file_is_sound(measured: tuple[Any, Any, dict[str, Any]]) -> None:
    _, _, result = measured
    for entry in result["changes"]:
        sweep = entry["sweep"]
        assert sweep["coverage"] == sorted(sweep["coverage"], reverse=True)
        assert sweep["coverage"][0] > 0.999
        assert set(sweep["conditional_invariance"]) <= {1.0, None}
        for level in entry["levels"].values():
            for method in ("text", "image", "pixel_line", "embedding_line"):
                assert abs(level[method]["invariance"] - level["reference"]) <= level[method]["discrepancy"] + 1e-12
