"""The documentation shows tables and figures of the semantic benchmark that is on file."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_tables_and_figures_are_those_of_the_result_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    report, figures = import_module("semantic_report"), import_module("semantic_figures")
    result = json.loads((ROOT / "benchmarks" / "results" / "semantic.json").read_text(encoding="utf-8"))
    shown = (ROOT / "docs" / "semantic.md").read_text(encoding="utf-8")
    assert report.markdown(result) == report.TABLE.read_text(encoding="utf-8")
    made = figures.figures(result)
    assert len(made) == 2
    for name, text in made.items():
        assert f"](figures/{name})" in shown
        # The names and numbers on the axes; curves are drawn by a library whose last digits may change.
        drawn = (figures.FOLDER / name).read_text(encoding="utf-8")
        assert [line for line in text.splitlines() if "<text" in line] == [
            line for line in drawn.splitlines() if "<text" in line
        ]
        assert len(text.splitlines()) == len(drawn.splitlines())
