"""Tests of `certify.py plan`: its table, its JSON, plans by pilot, wrong options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hrvlm.certificates import RecordWriter, Sample, SmoothingPlan, Statement, certify
from hrvlm.certificates.planning.sample_size import Question, plan_samples
from hrvlm.cli.certify import main


def run(*arguments: str) -> None:
    main(["plan", *arguments])


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    run(*arguments, "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_table_names_answer_reference_and_ceiling(capsys: pytest.CaptureFixture[str]) -> None:
    run("--sigma", "0.25", "--loss", "0.1")
    printed = capsys.readouterr().out
    expected = plan_samples(Question(sigma=0.25), 0.1)
    for text in (f"{expected.n:,}", "100,000", "r=0.3", f"{expected.ceiling:.4f}", f"{expected.value:.4f}"):
        assert text in printed


def test_radii_are_those_that_the_answer_can_reach(capsys: pytest.CaptureFixture[str]) -> None:
    for sigma in ("0.02", "0.25"):
        found = answer(capsys, "--sigma", sigma, "--loss", "0.1")
        radii = [float(radius) for radius in found["forecast"][0]["certified_accuracy"]]
        assert radii[0] == 0
        assert 0 < radii[-1] <= found["plan"]["ceiling"]
    run("--sigma", "0.02", "--radii", "[0.0,0.01,0.3,0.5]", "--loss", "0.1")
    assert "No image can be certified at 0.3, 0.5 by" in " ".join(capsys.readouterr().out.split())


def test_json_holds_plan_and_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "--beta", "[8,0.5]", "--loss", "0.05", "--statements", "4", "--reference", "20000")
    assert found["alpha_share"] == 0.00025
    assert found["plan"]["loss"] <= 0.05
    assert [line["n"] for line in found["forecast"]] == sorted({100, 1000, 10_000, found["plan"]["n"], 20_000})
    radii = [line["mean_radius"] for line in found["forecast"]]
    assert radii == sorted(radii)
    by_votes = answer(capsys, "--radius", "0.2", "--loss", "0.02", "--votes", "101")
    assert by_votes["threshold"] > 0.5
    assert by_votes["plan"]["reference"] - by_votes["plan"]["value"] <= 0.02


def test_a_pilot_plans_by_its_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statement = Statement("k", "t", 0, "leaf", 2)
    inputs = [Sample(i, torch.full((1, 1, 1), 0.5 + 0.1 * i), {"k": 1}) for i in range(1, 5)]
    inputs.append(Sample(9, torch.full((1, 1, 1), 0.2), {"k": 1}))
    plan_ = SmoothingPlan(sigma=0.25, n0=10, n=200)
    with RecordWriter(tmp_path / "certificates.jsonl") as writer:
        for records in certify(lambda x: {"k": (x[:, 0, 0, 0] > 0.5).long()}, inputs, [statement], plan_):
            writer.write(records)
    found = answer(capsys, "--pilot", str(tmp_path / "certificates.jsonl"), "--reference", "5000")
    assert 0.1 < found["plan"]["reference"] < 0.25
    accuracy = found["forecast"][-1]["certified_accuracy"]["0.0"]
    assert 0.6 < accuracy <= 0.8  # one image of five is wrong, the nearest is hard
    with pytest.raises(SystemExit):
        run("--pilot", str(tmp_path / "certificates.jsonl"), "--level", "3")
    assert "found none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--beta", "[1.0]"], "expected two parameters in beta"),
        (["--loss", "2"], "expected loss in (0, 1)"),
        (["--beta", "[1,1]", "--pilot", "x"], "expected beta or pilot, got both"),
        (["--pilot", "absent.jsonl"], "absent.jsonl"),
        (["--statements", "0"], "expected statements >= 1"),
        (["--votes", "5", "--threshold", "0.7"], "expected threshold or votes"),
        (["--samples", "[0]"], "expected a number of samples in"),
        (["--samples", "[1000000000]"], "expected a number of samples in [1, 10,000,000], got 1000000000"),
        (["--reference", "1e12"], "expected a number of samples in"),
        (["--sigma", "-1"], "expected sigma > 0"),
        (["--radius", "50"], "use a larger sigma"),
    ],
)
def test_wrong_options_get_one_sentence(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 1
    printed = capsys.readouterr().err
    assert text in printed
    assert printed.count("\n") == 1
