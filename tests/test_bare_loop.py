"""The bare loops that the framework's cost is measured against compute what its steps compute."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("bare_loop")


@pytest.mark.parametrize("method", ["tecoa", "hierarchical"])
def test_bare_loops_have_the_losses_of_the_framework(benchmark, method, tiny_model):
    rows = benchmark.turns(method, str(tiny_model), batch=6, count=4, random_start=False)
    assert len({row["framework_loss"] for row in rows}) == len(rows) == 4
    for row in rows:
        assert row["bare_loss"] == pytest.approx(row["framework_loss"], rel=1e-4)
    assert benchmark.summarised(rows)["turns"] == 3
