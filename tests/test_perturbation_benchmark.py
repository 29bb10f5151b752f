"""The benchmark of perturbations: equal cost of all variants, and tables that are averages of the lines on file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SETTING = {"part": "setting", "learning_rate": 0.002}


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield import_module("perturbations")


def line(label: str, seed: int, level: str, right: str, attack: str = "pgd20") -> dict[str, Any]:
    return {"part": "accuracy", "label": label, "seed": seed, "level": level, "attack": attack, "right": right}


def lines() -> list[dict[str, Any]]:
    """Two seeds of the plain ascent and of another, of four pictures at a leaf and two upper levels; one diverged."""
    found = [SETTING]
    for label, seed, leaf, middle, top in (
        ("plain", 0, "0011", "0111", "1111"),
        ("plain", 1, "0001", "0011", "1011"),
        ("momentum", 0, "0111", "0111", "1111"),
        ("momentum", 1, "0011", "0011", "1111"),
    ):
        found += [line(label, seed, name, right) for name, right in (("leaf", leaf), ("middle", middle), ("top", top))]
        found.append({"part": "runs", "label": label, "seed": seed, "passes": 4, "seconds_per_epoch": 10.0 + seed})
    return [*found, {"part": "runs", "label": "margin", "seed": 0, "passes": 4, "diverged": True}]


def test_all_variants_cost_the_same_passes_and_differ(benchmark: ModuleType) -> None:
    assert {name: benchmark.passes(method) for name, method in benchmark.VARIANTS.items()} == dict.fromkeys(
        benchmark.VARIANTS, benchmark.PASSES
    )
    shown = set()
    for method in benchmark.VARIANTS.values():
        made = method.objective()
        shown.add((made.ascent, made.strategy, made.soft_targets, method.trained))
    assert len(shown) == len(benchmark.VARIANTS)


def test_rows_are_averages_over_pictures_and_upper_levels(benchmark: ModuleType) -> None:
    rows = {(row["variant"], row["seed"], row["level"]): row for row in benchmark.summary(lines())["rows"]}
    assert len(rows) == 8
    assert rows["plain", 0, "leaf"]["accuracy"] == 0.5
    assert rows["plain", 1, "superclass"]["accuracy"] == (0.5 + 0.75) / 2
    assert {row["pictures"] for row in rows.values()} == {4}


def test_the_table_has_differences_of_the_same_pictures(benchmark: ModuleType) -> None:
    table = {row.split(" | ")[0]: row.split(" | ") for row in benchmark.markdown(lines()).splitlines()}
    assert table["| plain"][4:6] == ["37.5", "75.0"]
    # Both seeds gain one picture of four at the leaf; of the upper levels, half a picture in one seed alone.
    assert table["| momentum"][4].startswith("62.5 (+25.0 ± ")
    assert table["| momentum"][5].startswith("81.2 (+6.2 ± ")
    assert table["| momentum"][-1] == "10 |"
    assert table["| margin"][1] == "1"
    assert table["| margin"][-1] == "diverged |"
