"""The documentation quotes the comparison of training methods that is on file."""

from __future__ import annotations

import json
import statistics
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = ROOT / "benchmarks" / "results" / "training.json"


def test_a_cell_of_the_quoted_table_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = import_module("training_table")
    content = json.loads(FILE.read_text(encoding="utf-8"))
    quoted = table.markdown(content)
    values = [
        100 * row["accuracy"]
        for row in content["rows"]
        if (table.label_of(row), row["split"], row["level"], row["attack"])
        == ("tecoa", "unseen_artist", "leaf", "pgd20")
    ]
    line = next(line for line in quoted.splitlines() if line.startswith("| tecoa |"))
    error = statistics.stdev(values) / len(values) ** 0.5
    assert f"| {statistics.fmean(values):.1f} ± {error:.1f} |" in line


def test_the_quoted_learning_rates_are_those_with_the_best_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = import_module("training_table")
    content = json.loads(FILE.read_text(encoding="utf-8"))
    best: dict[str, tuple[float, float]] = {}  # score, and the rate with a minus: of equal ones the smallest is taken
    for entry in content["tuning"]:
        found = (entry["score"], -entry["learning_rate"])
        best[table.label_of(entry)] = max(best.get(table.label_of(entry), found), found)
    rates = {name: -rate for name, (_, rate) in best.items()}
    tried: dict[str, list[float]] = {}
    for entry in content["tuning"]:
        tried.setdefault(table.label_of(entry), []).append(entry["learning_rate"])
    stated, edge, untuned = table.markdown(content).splitlines()[2:5]
    places = {rate: stated.index(f"{in_digits(rate)} by ") for rate in set(rates.values())}
    for name, rate in rates.items():
        before = [other for other, place in places.items() if place < stated.index(f"`{name}`")]
        assert max(before, key=places.__getitem__) == rate, name
        assert f"`{name}`" not in untuned
    at_edge = sum(rate in (min(tried[name]), max(tried[name])) for name, rate in rates.items())
    assert edge.startswith(f"{at_edge} of these {len(best)} lie on the edge of the grid (")
    for grid in tried.values():
        assert ", ".join(map(in_digits, sorted(grid))) in edge
    for run in content["runs"]:
        if run["learning_rate"]:
            label = table.label_of(run)
            own = label.removesuffix(" + noise").removesuffix("_adapted")
            assert run["learning_rate"] == rates.get(label, rates.get(own, rates["hierarchical_images"]))
            assert (f"`{label}`" in untuned) == (label not in rates)


def in_digits(rate: float) -> str:
    """A learning rate such as 5e-4 or 2.5e-4."""
    digits, exponent = f"{rate:.4e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"
