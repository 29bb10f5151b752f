"""The documentation's numbers of samples are those on file, and those follow from the counts on file."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, norm

from hrvlm.certificates.planning.laws import BetaLaw
from hrvlm.certificates.planning.sample_size import Question, certified_accuracy_exact, mean_radius_exact

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "generative_scaling.json"
DOCS = ROOT / "docs" / "generative.md"


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The measuring code and the report."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module("generative_scaling"), import_module("scaling_report")


@pytest.fixture
def result() -> dict[str, Any]:
    """The result file."""
    found: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return found


def radius(count: int, n: int, alpha: float, sigma: float) -> float:
    """By SciPy's own quantiles."""
    return max(0.0, float(sigma * norm.ppf(beta.ppf(alpha, count, n - count + 1)))) if count else 0.0


def test_the_tables_are_those_of_the_result_file(scaling: tuple[Any, Any], result: dict[str, Any]) -> None:
    _, report = scaling
    assert report.markdown(result) == report.TABLE.read_text(encoding="utf-8")


def test_measured_numbers_follow_from_the_counts(result: dict[str, Any]) -> None:
    alpha = result["alpha"]
    for entry in result["sigmas"]:
        for found in entry["groups"]:
            assert len(found["counts"]) == found["right"] <= found["images"]
            lines = [line for line in found["lines"] if line["measured"] is not None]
            for at, line in enumerate(lines):
                n, own = line["n"], line["measured"]
                counts = [row[2 + at] for row in found["counts"]]
                radii = np.array([radius(count, n, alpha, entry["sigma"]) for count in counts])
                assert own["mean_radius"] == pytest.approx(radii.sum() / found["images"], rel=1e-9)
                assert own["saturated"] == pytest.approx(counts.count(n) / found["images"])
                accuracy = [(radii > m * entry["sigma"]).sum() / found["images"] for m in result["multiples"]]
                assert own["certified_accuracy"] == pytest.approx(accuracy)


def test_ceilings_and_slopes_follow_from_their_formulas(result: dict[str, Any]) -> None:
    alpha = result["alpha"]
    for entry in result["sigmas"]:
        for line in (line for found in entry["groups"] for line in found["lines"]):
            assert line["ceiling"] == pytest.approx(entry["sigma"] * norm.ppf(alpha ** (1 / line["n"])), rel=1e-9)
            for reference, slopes in line["slopes"].items():
                for name, slope, z in (("published", 1.64, norm.isf(alpha / 2)), ("exact", 2.0238, norm.isf(alpha))):
                    kept = [max(0.0, 1 - slope * z / math.sqrt(n)) for n in (line["n"], int(reference))]
                    assert slopes[name] == pytest.approx(kept[0] / kept[1])


def test_the_documented_ceilings_follow_from_their_formula() -> None:
    ceilings = {n: float(norm.ppf(0.001 ** (1 / n))) for n in (100, 1_000, 10_000, 100_000)}
    words = DOCS.read_text(encoding="utf-8")
    first, second, third, fourth = (f"{value:.2f}" for value in ceilings.values())
    assert f"{first}, {second}, {third} and {fourth} sigma for 100" in words
    lost = [100 * (1 - ceilings[n] / ceilings[100 * n]) for n in (100, 1_000)]
    assert f"lose {lost[0]:.0f} % against 10,000 and {lost[1]:.0f} % from 100,000 to 1,000" in words


def test_measured_runs_agree_with_the_exact_sum_for_a_known_law(scaling: tuple[Any, Any]) -> None:
    measuring, _ = scaling
    generator, sigma, images, n = np.random.default_rng(3), 0.25, 600, 200
    law = BetaLaw(6.0, 0.7)
    hits = [generator.random(400) < p for p in generator.beta(law.a, law.b, images)]
    found = measuring.measure(hits, 2 * images, n, sigma)
    # the other half of the images has another answer and certifies nothing
    question = Question(law=law, alpha=measuring.ALPHA, sigma=sigma)
    spread = np.std([radius(int(row[:n].sum()), n, measuring.ALPHA, sigma) for row in hits]) / math.sqrt(images)
    for name in ("mean_radius", "mean_radius_runs"):
        assert abs(2 * found[name] - mean_radius_exact(question, n)) < 4 * spread
    assert found["runs"] == 2
    for multiple, accuracy in zip(measuring.MULTIPLES, found["certified_accuracy"], strict=True):
        expected = certified_accuracy_exact(question, n, multiple * sigma)
        assert abs(2 * accuracy - expected) < 4 * math.sqrt(expected * (1 - expected) / images) + 1 / images


def test_least_numbers_of_samples_are_read_off_the_curve(scaling: tuple[Any, Any]) -> None:
    measuring, _ = scaling
    curve = {n: {"mean_radius_runs": r, "certified_accuracy_runs": [0, 0.5, a, 0]}
             for n, r, a in ((10, 0.1, 0.2), (100, 0.8, 0.33), (1000, 0.93, 0.38), (10_000, 1.0, 0.4))}  # fmt: skip
    goal = {"reference": 10_000, "loss": 0.1, "multiple": None}
    assert measuring.least_measured(curve, goal) == 1000
    assert measuring.least_measured(curve, goal | {"multiple": 1.0}) == 100
    assert measuring.least_measured(curve, goal | {"multiple": 0.5}) == 10
    assert measuring.least_measured(curve, goal | {"reference": 100_000}) is None
