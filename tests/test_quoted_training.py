"""The documentation quotes the comparison of training methods that is on file."""

from __future__ import annotations

import json
import statistics
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = ROOT / "benchmarks" / "results" / "training.json"


def test_the_quoted_table_is_that_of_the_result_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = import_module("training_table")
    content = json.loads(FILE.read_text(encoding="utf-8"))
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


def test_the_quoted_learning_rates_are_those_with_the_best_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = import_module("training_table")
    content = json.loads(FILE.read_text(encoding="utf-8"))
    best: dict[str, tuple[float, float]] = {}
    for entry in content["tuning"]:
        best[entry["method"]] = max(best.get(entry["method"], (0.0, 0.0)), (entry["score"], entry["learning_rate"]))
    _, _, quoted = table.DOCS.read_text(encoding="utf-8").partition(table.BEGIN)
    stated, edge, untuned = quoted.splitlines()[2:5]
    places = {
        rate: stated.index(f"{rate:.0e} by ".replace("e-0", "e-")) for rate in {rate for _, rate in best.values()}
    }
    for name, (_, rate) in best.items():
        before = [other for other, place in places.items() if place < stated.index(f"`{name}`")]
        assert max(before, key=places.__getitem__) == rate, name
        assert f"`{name}`" not in untuned
    at_edge = sum(rate != 1e-3 for _, rate in best.values())
    assert edge == f"{at_edge} of these {len(best)} lie on the edge of the grid (5e-4, 1e-3, 2e-3)."
    for run in content["runs"]:
        if run["learning_rate"]:
            assert run["learning_rate"] == best.get(run["method"], best["hierarchical_forest"])[1]
            assert (f"`{run['method']}`" in untuned) == (run["method"] not in best)


def test_autoattack_rows_of_other_numbers_of_pictures_are_not_mixed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.chdir(tmp_path)
    results, table = import_module("training_results"), import_module("training_table")
    path = tmp_path / "training.json"
    assert results.Results(path, 16).read()["setting"]["autoattack_images"] == 16  # nothing on file: free to choose
    content = json.loads(FILE.read_text(encoding="utf-8"))
    content["setting"].pop("autoattack_images", None)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected --autoattack-images 8, .* got 16"):
        results.Results(path, 16)
    assert results.Results(path, 0).read()["setting"]["autoattack_images"] == 8
    row = content["rows"][0] | {"attack": "autoattack"}
    results.Results(path, 8).add(rows=[row])
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["rows"] == [*content["rows"], row]
    assert {key: written[key] for key in ("tuning", "runs")} == {key: content[key] for key in ("tuning", "runs")}
    assert written["setting"]["autoattack_images"] == 8
    written["setting"]["autoattack_images"] = 12
    assert table.markdown(written).startswith(
        "Emoji, PGD-20 and AutoAttack at 4/255, AutoAttack on 12 pictures per split;"
    )
    path.write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected --autoattack-images 12, .* got 8"):
        results.Results(path, 8)
