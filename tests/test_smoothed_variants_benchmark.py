"""The benchmark of ways to train for certificates: variants differ as their names say, tables hold what lines say."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SIZES = {"025": 0.25, "100": 1.0, "150": 1.5}
UNPERTURBED = (
    *("gaussian", "gaussian_adapted", "gaussian_long", "hierarchical", "weights_averaged", "guided", "adapted"),
    *("adapted_4e-3", "consistency"),
)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("smoothed_variants")


def run(label: str, leaf: float, group: float) -> dict[str, Any]:
    radii = {"leaf acr": leaf, "group acr": group}
    return {"part": "runs", "label": label, "learning_rate": 2e-3, "epochs": 3, "processor_seconds": 7, **radii}


def test_the_table_compares_with_gaussian_augmentation_in_the_order_of_the_variants(benchmark, tmp_path):
    lines = [{"part": "setting"}, run("adapted", 0.3, 0.3), run("gaussian", 0.2, 0.4)]
    benchmark.write(lines, tmp_path)
    found = json.loads((tmp_path / "smoothed_variants.json").read_text())
    assert [row["label"] for row in found["rows"]] == ["gaussian", "adapted"]
    table = (tmp_path / "smoothed_variants.md").read_text().splitlines()
    assert table[2:] == [
        "| gaussian | 0.002 | 3 | 7 | 0.200 (1.00) | 0.400 (1.00) |",
        "| adapted | 0.002 | 3 | 7 | 0.300 (1.50) | 0.300 (0.75) |",
    ]


def test_the_table_on_file_holds_all_lines_on_file(benchmark, tmp_path):
    folder = ROOT / "benchmarks" / "results"
    lines = (folder / "smoothed_variants_lines.jsonl").read_text(encoding="utf-8").splitlines()
    benchmark.write([json.loads(line) for line in lines], tmp_path)
    assert (folder / "smoothed_variants.md").read_text() == (tmp_path / "smoothed_variants.md").read_text()
    kept, written = (json.loads((each / "smoothed_variants.json").read_text()) for each in (folder, tmp_path))
    assert kept["rows"] == written["rows"]


def test_variants_are_what_their_names_say(benchmark):
    found = {label: variant.method for label, variant in benchmark.VARIANTS.items()}
    assert {method.noise for method in found.values()} == {0.25}
    for label, method in found.items():
        objective = method.objective()
        eps = next((size for name, size in SIZES.items() if name in label), 0.5)
        assert objective.threat_model.eps == objective.ascent.step_size * objective.ascent.steps, label
        assert objective.threat_model.eps == (0.0 if label in UNPERTURBED else eps), label
        assert objective.ascent.random_start == ("straight" not in label)
        frozen = label in ("gaussian", "gaussian_long", "hierarchical", "guided", "weights_averaged")
        assert method.trained.freeze_batch_norm == frozen, label
        assert (len(method.trees) == 1) == ("gaussian" in label or "one_tree" in label)
        assert method.copies == (2 if label in ("two_noises", "consistency") else 1)
        assert (method.consistency is not None) == (label == "consistency")


@pytest.mark.slow
def test_a_variant_is_trained_certified_and_not_repeated(benchmark, tmp_path, capsys):
    asked = ["--variants", "perturbed_050_4e-3", "--tiny", "--results", str(tmp_path)]
    benchmark.main(asked)
    (row,) = json.loads((tmp_path / "smoothed_variants.json").read_text())["rows"]
    assert row["label"] == "perturbed_050_4e-3"
    assert min(row["leaf acr"], row["group acr"]) >= 0
    lines = (tmp_path / "smoothed_variants_lines.jsonl").read_text()
    benchmark.main(asked)
    assert (tmp_path / "smoothed_variants_lines.jsonl").read_text() == lines
