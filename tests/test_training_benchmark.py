"""The benchmark of training methods: its rates, statistics and results, and a tiny run of all its parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from hrvlm.models import load
from hrvlm.objectives import Objective

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Callable[[str], ModuleType]]:
    """Modules of the benchmark by the last part of their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield lambda name: import_module(f"training_{name}" if name else "training")


def test_the_grid_of_rates_grows_for_all_methods_until_no_choice_is_on_its_edge(
    benchmark: Callable[[str], ModuleType],
) -> None:
    rates = benchmark("rates")
    peaks = {"low": 5e-4, "middle": 2e-3, "high": 8e-3}
    scores: dict[str, dict[float, float]] = {}
    sizes = []
    while missing := rates.grid(scores, list(peaks)).missing:
        sizes.append(len(rates.grid(scores, list(peaks)).rates))
        name, rate = missing[0]
        scores.setdefault(name, {})[rate] = -abs(np.log(rate / peaks[name]))
    found = rates.grid(scores, list(peaks))
    assert sizes[0] == 3
    assert found.rates == (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
    assert found.chosen == peaks
    assert found.edges == ()
    assert {name: sorted(tried) for name, tried in scores.items()} == {name: list(found.rates) for name in peaks}


def test_the_grid_of_rates_ends_and_says_who_stands_on_its_edge(benchmark: Callable[[str], ModuleType]) -> None:
    rates = benchmark("rates")
    grid = (1e-3, 2e-3, 4e-3, 8e-3)
    scores = {"rising": {rate: rate for rate in grid}, "equal": dict.fromkeys(grid, 1.0)}
    found = rates.grid(scores, list(scores), least=1e-3, largest=8e-3)
    assert found.chosen == {"rising": 8e-3, "equal": 1e-3}  # the smallest of equal ones
    assert found.edges == ("rising", "equal")


def test_methods_under_noise_have_a_grid_of_their_own(benchmark: Callable[[str], ModuleType]) -> None:
    rates, (plain, alone, noisy) = benchmark("rates"), benchmark("methods").families()
    assert alone == ["clean"]
    assert {"tecoa", "hierarchical_images", "hierarchical_guided"} < set(plain)
    assert {"gaussian", "gaussian_adapted", "tecoa_smoothed", "hierarchical_smoothed"} == set(noisy)
    start = (1e-3, 2e-3, 4e-3)
    scores = {name: dict(zip(start, (0.0, 1.0, 0.0), strict=True)) for name in plain}
    scores |= {name: dict(zip(start, (0.0, 0.0, 1.0), strict=True)) for name in noisy}
    found = rates.grids(scores, [plain, noisy])
    assert found.chosen == dict.fromkeys(plain, 2e-3)
    assert found.missing == tuple((name, 8e-3) for name in noisy)
    assert {name: len(grid) for name, grid in found.rates.items()} == {
        **dict.fromkeys(plain, 3),
        **dict.fromkeys(noisy, 4),
    }


def test_rivals_are_tested_against_the_hierarchical_method_that_validation_chose(
    benchmark: Callable[[str], ModuleType],
) -> None:
    summary = benchmark("summary")
    scores = [("hierarchical_images", 2e-3, 0.6), ("hierarchical_images", 4e-3, 0.5), ("tecoa", 2e-3, 0.9)]
    scores += [("hierarchical_averages", 4e-3, 0.55)]
    lines = [{"part": "tuning", "label": label, "learning_rate": rate, "score": score} for label, rate, score in scores]
    assert summary.chosen_reference(lines) == "hierarchical_images"
    better = {"part": "tuning", "label": "hierarchical_averages", "learning_rate": 8e-3, "score": 0.61}
    tested = {"part": "accuracy", "label": "hierarchical_guided", "score": 1.0}
    assert summary.chosen_reference([*lines, better, tested]) == "hierarchical_averages"
    assert summary.chosen_reference([]) == "hierarchical_images"


def test_all_of_a_seed_is_done_before_the_next(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    tasks, methods, results = benchmark("tasks"), benchmark("methods"), benchmark("results")
    known = results.Results(tmp_path / "lines.jsonl", {}, tmp_path / "runs")
    every = tasks.Benchmark(["tecoa", "clean", "gaussian", "tecoa + noise"], 3, methods.FULL, False, known).tasks()
    last = ("autoattack", "sigma=0.12", "sigma=0.5", "tecoa + noise.seed=0.apgd")
    order = [(task.name.split(".seed=")[1][0], task.part) for task in every if not task.name.endswith(last)]
    assert order == sorted(order, key=lambda pair: (pair[0], ["runs", "certificates", "apgd"].index(pair[1])))
    assert {seed for seed, _ in order} == {"0", "1", "2"}
    attacked = [task.name for task in every if task.part == "apgd"]
    ranked = [f"{name}.seed={seed}.apgd" for seed in range(3) for name in ("tecoa", "clean", "gaussian")]
    assert attacked == ["pretrained.seed=0.apgd", *ranked, "tecoa + noise.seed=0.apgd"]
    assert all(task.name.endswith(last) for task in every[len(order) :])


def test_a_test_of_one_seed_is_the_t_test_over_pictures(benchmark: Callable[[str], ModuleType]) -> None:
    differences = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], size=(1, 40), p=[0.1, 0.5, 0.4])
    found = benchmark("statistics").crossed(differences)
    expected = ttest_1samp(differences[0], 0.0)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.estimate / found.error == pytest.approx(expected.statistic, rel=1e-12)


def test_the_variance_over_seeds_and_pictures_is_that_of_the_two_way_layout(
    benchmark: Callable[[str], ModuleType],
) -> None:
    random = np.random.default_rng(1)
    table = random.normal(0, 1, (4, 1)) + random.normal(0, 2, (1, 30)) + random.normal(0, 0.1, (4, 30))
    rows, columns, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    of_seeds = 30 * sum((row - mean) ** 2 for row in rows) / 3
    of_pictures = 4 * sum((column - mean) ** 2 for column in columns) / 29
    rest = sum((table[s, p] - rows[s] - columns[p] + mean) ** 2 for s in range(4) for p in range(30)) / 87
    found = benchmark("statistics").crossed(table)
    assert found.estimate == pytest.approx(mean)
    assert found.error**2 == pytest.approx((of_seeds + of_pictures - rest) / 120)


def test_methods_that_do_not_differ_are_seldom_told_apart(benchmark: Callable[[str], ModuleType]) -> None:
    random, size = np.random.default_rng(2), 600
    tables = random.normal(0, 0.05, (size, 5, 1)) + random.normal(0, 0.2, (size, 1, 60))
    tables = tables + random.normal(0, 0.3, (size, 5, 60))
    crossed = benchmark("statistics").crossed
    wrong = fmean(crossed(table).p_value < 0.05 for table in tables)
    assert 0.005 < wrong < 0.075
    alone = fmean(ttest_1samp(table.mean(axis=0), 0.0).pvalue < 0.05 for table in tables)
    assert alone > 0.1  # a test over pictures alone takes the luck of the seeds for a difference
    assert fmean(crossed(table + 0.2).p_value < 0.05 for table in tables[:100]) > 0.9


def test_no_difference_at_all_is_no_evidence(benchmark: Callable[[str], ModuleType]) -> None:
    crossed = benchmark("statistics").crossed
    assert crossed(np.zeros((3, 10))).p_value == 1.0
    opposed = crossed(
        [[1.0, -1.0, 0.5, -0.5], [-1.0, 1.0, -0.5, 0.5]]
    )  # all variance is that of single runs on pictures
    assert opposed.p_value == 1.0
    assert opposed.error == pytest.approx((5 / 3 / 8) ** 0.5)
    with pytest.raises(ValueError, match=r"expected differences \(seeds, pictures\) of at least two pictures, got"):
        crossed(np.zeros((3, 1)))


def test_p_values_are_corrected_after_holm(benchmark: Callable[[str], ModuleType]) -> None:
    assert benchmark("statistics").holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benchmark("statistics").holm([0.5, 0.9]) == [1.0, 1.0]


def test_the_certified_depth_counts_the_levels_that_hold(benchmark: Callable[[str], ModuleType]) -> None:
    certificates = benchmark("certificates")
    chain = [0.0, 0.2, 0.4]  # leaf wrong or abstaining
    assert [certificates.depth(chain, radius) for radius in (0.1, 0.2, 0.3, 0.5)] == [2, 2, 1, 0]
    assert certificates.depth([0.3, 0.4, 0.5], 0.25) == 3
    assert certificates.mean_depths([chain, [0.3, 0.4, 0.5]])["0.25"] == 2.0


def test_all_methods_can_be_made_and_take_a_rate_that_is_chosen(benchmark: Callable[[str], ModuleType]) -> None:
    methods = benchmark("methods")
    asked = {"clean", "tecoa", "pmg_aft", "fare", "agft", "aos", "hierarchical_averages", "hierarchical_images"}
    assert asked | {"gaussian", "hierarchical_smoothed"} <= set(methods.METHODS)
    assert {name + methods.NOISY for name in asked - {"clean"}} <= set(methods.METHODS)
    assert len({tuple(methods.named(label).values()) for label in methods.EVERYTHING}) == len(methods.EVERYTHING)
    assert {name: method.noise for name, method in methods.ABLATIONS.items() if method.noise} == {}
    for label, method in methods.EVERYTHING.items():
        assert isinstance(method.objective(), Objective)
        assert (method.noise > 0) == (methods.named(label)["noise"] > 0)
        chosen = method.rate_of or label
        assert methods.METHODS[chosen].rate_of is None


def test_subsets_of_pictures_lie_in_each_other(benchmark: Callable[[str], ModuleType]) -> None:
    attacks = benchmark("attacks")
    nested = attacks.narrowed(attacks.narrowed(attacks.narrowed([501], None), 300), 70)
    assert nested == [501, 501, 300, 70]
    inner, outer = attacks.subset(nested), attacks.subset(nested[:3])
    assert len(set(inner)) == 70
    assert len(set(outer)) == 300
    assert set(inner) < set(outer) < set(range(501))


def test_results_of_another_setting_are_refused_and_torn_lines_cut(
    benchmark: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    results, path = benchmark("results"), tmp_path / "lines.jsonl"
    first = results.Results(path, {"eps": 1, "epochs": 2}, tmp_path / "runs")
    first.add([{"part": "runs", "label": "a", "seed": 0}])
    with path.open("a") as file:
        file.write('{"part": "runs", "lab')
    second = results.Results(path, {"eps": 1, "epochs": 2}, tmp_path / "runs")
    second.add([{"part": "runs", "label": "b", "seed": 0}])
    assert [line["label"] for line in first.find("runs", seed=0)] == ["a", "b"]
    with pytest.raises(ValueError, match=r"expected results of this benchmark's setting .* with another epochs: they"):
        results.Results(path, {"eps": 1, "epochs": 3}, tmp_path / "runs")


def test_results_of_other_numbers_of_pictures_are_not_mixed(
    benchmark: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    results, full = benchmark("results"), benchmark("methods").FULL
    results.Results(tmp_path / "lines.jsonl", full.setting(), tmp_path / "runs")
    results.Results(tmp_path / "lines.jsonl", full.setting(), tmp_path / "runs")
    with pytest.raises(ValueError, match=r"got some with another sizes: they do not compare; move the file away"):
        results.Results(tmp_path / "lines.jsonl", replace(full, autoattack=200).setting(), tmp_path / "runs")


@pytest.fixture(scope="module")
def tiny(benchmark: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a tiny run of all parts."""
    folder = tmp_path_factory.mktemp("tiny")
    run(benchmark, folder)
    return folder


def run(benchmark: Callable[[str], ModuleType], folder: Path, *arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", ["training.py"])
        given = ["--tiny", "--no-tune", "--seeds", "1", "--methods", "gaussian", "--results", str(folder)]
        benchmark("").main([*given, *arguments])


def accuracies(folder: Path) -> dict[tuple[Any, ...], dict[int, bool]]:
    lines = [json.loads(line) for line in (folder / "training_lines.jsonl").read_text().splitlines()]
    subset = import_module("training_attacks").subset
    return {
        (line["label"], line["level"], line["attack"]): dict(
            zip(subset(line["subset"]), map(bool, map(int, line["right"])), strict=True)
        )
        for line in lines
        if line["part"] == "accuracy"
    }


@pytest.mark.slow
def test_each_attack_goes_on_with_the_pictures_that_are_left(
    benchmark: Callable[[str], ModuleType], tiny: Path
) -> None:
    found = accuracies(tiny)
    for label, attacks in (("pretrained", ("clean", "pgd20", "apgd", "autoattack")), ("gaussian", ("clean", "pgd20"))):
        for level in ("leaf", "subgroup", "group"):
            for before, after in pairwise(attacks):
                inner = found[label, level, after]
                assert all(found[label, level, before][index] >= right for index, right in inner.items())
        together = found[label, "all levels", "clean"]
        levels = [found[label, level, "clean"] for level in ("leaf", "subgroup", "group")]
        assert together == {index: all(right[index] for right in levels) for index in together}
    assert ("gaussian", "leaf", "autoattack") not in found
    assert any(found["pretrained", "group", "clean"].values())


@pytest.mark.slow
def test_rows_and_tables_are_averages_of_the_lines(benchmark: Callable[[str], ModuleType], tiny: Path) -> None:
    found, content = accuracies(tiny), json.loads((tiny / "training.json").read_text())
    rows = {(row["method"], row["level"], row["attack"]): row for row in content["rows"]}
    leaf, table = rows["gaussian", "leaf", "pgd20"], (tiny / "training.md").read_text()
    assert leaf["noise"] == 0.25
    assert leaf["pictures"] == 12
    assert leaf["accuracy"] == fmean(found["gaussian", "leaf", "pgd20"].values())
    assert rows["pretrained", "leaf", "autoattack"]["pictures"] == 5
    upper = [fmean(found["pretrained", level, "clean"].values()) for level in ("subgroup", "group")]
    assert rows["pretrained", "superclass", "clean"]["accuracy"] == pytest.approx(fmean(upper))
    assert rows["pretrained", "hca", "clean"]["accuracy"] == fmean(found["pretrained", "all levels", "clean"].values())
    assert "Pictures: unseen_classes 12 clean, 12 pgd20, 9 apgd, 5 autoattack." in table
    assert f"| gaussian | 1 | {100 * rows['gaussian', 'leaf', 'clean']['accuracy']:.1f} |" in table


@pytest.mark.slow
def test_certificates_are_of_the_same_pictures_at_each_sigma(
    benchmark: Callable[[str], ModuleType], tiny: Path
) -> None:
    content = json.loads((tiny / "certified_training.json").read_text())
    kinds = {(row["method"], row["noise"], row["level"], row["sigma"], row["images"]) for row in content["rows"]}
    expected = [("pretrained", 0.0, 2), ("gaussian", 0.25, 4)]
    assert kinds == {(m, s, level, x, n) for m, s, n in expected for level in ("leaf", "group") for x in (0.12, 0.25)}
    for row in content["rows"]:
        assert row["n"] == 20
        assert row["acr"] >= 0.1 * row["certified"]["0.1"]
        assert list(row["certified"]) == list(content["profiles"][0]["mean_depth"])
    table = (tiny / "certified_training.md").read_text()
    assert table.count("| gaussian | 1 | 4 |") == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*in eval mode.*")  # frozen batch norms, and the reference
@pytest.mark.parametrize("label", ["clean", "hierarchical_guided", "tecoa_adapted", "tecoa_smoothed"])
def test_methods_train_with_and_without_noise(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, label: str
) -> None:
    methods = benchmark("methods")
    run = benchmark("runs").fine_tune(methods.EVERYTHING[label], 0, 1e-3, methods.TINY, tmp_path / "model.ckpt")
    assert run["epochs"] == 1
    model = load(tmp_path / "model.ckpt").model
    assert ("training_noise" in model.config) == (label == "tecoa_smoothed")


@pytest.mark.slow
def test_nothing_is_done_twice_and_lost_work_gives_the_same(
    benchmark: Callable[[str], ModuleType], tiny: Path, tmp_path: Path
) -> None:
    lines = (tiny / "training_lines.jsonl").read_text().splitlines()
    stamp = (tiny / "training_lines.jsonl").stat().st_mtime_ns
    run(benchmark, tiny)
    assert (tiny / "training_lines.jsonl").stat().st_mtime_ns == stamp
    lost = [line for line in lines if '"certificates", "label": "gaussian"' in line and '"sigma": 0.25' in line]
    assert len(lost) == 4
    kept = [line for line in lines if line not in lost]
    (tmp_path / "training_lines.jsonl").write_text("".join(line + "\n" for line in kept))
    run(benchmark, tmp_path)  # the weights lack as well, and are made again
    assert (tmp_path / "training_lines.jsonl").read_text().splitlines() == [*kept, *lost]


def test_what_waits_for_other_parts_says_so(
    benchmark: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(benchmark, tmp_path, "--only", "apgd")
    assert "2 pieces of work wait for others, the first is pretrained.seed=0.apgd" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        benchmark("").main(["--tiny"])
    assert "expected --results with --tiny" in capsys.readouterr().err
