"""The documentation quotes the smoothing benchmark that is on file, and the file follows from its own numbers."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrvlm.certificates import Sample, smoothing_radius

ROOT = Path(__file__).parents[1]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, dict[str, Any]]:
    """The report, the decisions, and the result file."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    report, decisions = import_module("smoothing_report"), import_module("smoothing_decisions")
    return report, decisions, json.loads(report.RESULT.read_text(encoding="utf-8"))


def test_verdicts_are_those_of_the_result_file(measured: tuple[Any, Any, dict[str, Any]]) -> None:
    report, _, result = measured
    table = report.markdown(result)
    assert table == report.TABLE.read_text(encoding="utf-8")
    for case, part in result["parts"]["throughput"].items():
        row = next(line for line in table.splitlines() if f"loop / bare encoder, {case} " in line)
        ratio = part["encoder"]["loop_over_it_by_wall"]
        assert re.findall(r"\d+\.\d+", row)[0] == f"{ratio:.3f}"
        assert row.split("|")[5].split(" / ")[0].strip().startswith("met by" if ratio >= 0.9 else "missed by")


def test_decisions_follow_from_their_counts(measured: tuple[Any, Any, dict[str, Any]]) -> None:
    _, decisions, result = measured
    part = result["parts"]["decisions"]
    shares, samples = part["share_certified"], part["samples_per_image"]
    for n in (10_000, 100_000):
        assert sum(part["answers_known_by"][str(n)].values()) == part["images"]
        assert samples[str(n)] == part["n0"] + n
        assert part["times_fewer_samples"][str(n)] == pytest.approx(samples[str(n)] / samples["adaptive"])
        assert 0 <= part["share_certified_and_correct"][str(n)] <= shares[str(n)] <= 1
    assert decisions.TARGETS == {10_000: (0.01, 5), 100_000: (0.03, 50)}


def test_fewer_draws_give_the_answer_of_all(measured: tuple[Any, Any, dict[str, Any]]) -> None:
    _, decisions, _ = measured
    for chance in (0.99, 0.5, 0.86, 0.9):
        chances = [chance] * 600
        assert _stopped(decisions, chances, 600) == _all(decisions, chances, 600)


def _draws(chances: list[float]) -> list[int]:
    random = np.random.default_rng(int(1000 * chances[0]))
    return [int(random.random() < chance) for chance in chances]


def _all(decisions: Any, chances: list[float], n: int) -> bool:
    return bool(smoothing_radius(sum(_draws(chances)), n, decisions.ALPHA, decisions.SIGMA) >= decisions.GOAL)


def _stopped(decisions: Any, chances: list[float], n: int) -> bool:
    hits = _draws(chances)
    procedure = decisions.fixed(Sample(0, torch.zeros(3, 2, 2), {decisions.LEAF: 1}), n)
    counts = {decisions.LEAF: np.zeros((2, 3), dtype=np.int64)}
    pieces = next(procedure)
    try:
        while True:
            for group, draws in pieces:
                for draw in draws:
                    right = 1 if group == 0 else hits[draw - decisions.N0]
                    counts[decisions.LEAF][group, right] += 1
            pieces = procedure.send(counts)
    except StopIteration as finished:
        row = finished.value
    assert row["correct"]
    assert row["drawn"] <= n
    assert row["count"] == sum(hits[: row["drawn"]])
    return bool(row["certified"])
