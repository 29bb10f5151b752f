"""The measured violation rates of calibrated semantic certificates, in the result file of their benchmark."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "semantic_calibration.json"


def test_measured_rates_keep_what_calibration_promises() -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    assert result["setting"]["splits"] >= 2000
    changes = [(name, claims) for model in result["models"].values() for name, claims in model["changes"].items()]
    assert len(changes) == 13 * len(result["models"])
    for name, claims in changes:
        assert len(claims) == 6  # three levels, two scorers
        assert claims[0]["raw_violated"] > 0.15, name  # leaves, without calibration
        for claim in claims:
            for epsilon in ("0.05", "0.1", "0.2"):
                found = claim[epsilon]
                assert found["violated"] <= float(epsilon) + 2 * found["standard_error"], (name, claim["claim"])
                assert found["confident_failures"] <= 1 - result["setting"]["confidence"], (name, claim["claim"])
                assert found["share"] > 0, (name, claim["claim"])
                if claim["raw_violated"] > float(epsilon):  # else the raw claim may stand
                    assert found["share"] < claim["raw_share"], (name, claim["claim"])


def test_documented_tables_are_those_of_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from semantic_calibration_report import DOCUMENT, MARK, tables

    result = json.loads(RESULT.read_text(encoding="utf-8"))
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.split(MARK)[1].strip() == "\n".join(tables(result))
    leaves = [claims[0]["raw_violated"] for claims in result["models"]["packaged"]["changes"].values()]
    assert f"{100 * min(leaves):.0f} to {100 * max(leaves):.0f}%, by change" in text


def test_a_line_that_was_cut_off_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from semantic_calibration import measured_lines

    rows = tmp_path / "rows_60_50_1.jsonl"
    rows.write_text('{"model": "packaged", "change": null}\n{"model": "pack')
    given = Namespace(folder=tmp_path, images=60, splits=50, epochs=1, batches=1, models=[])
    assert measured_lines(given) == [{"model": "packaged", "change": None}]
    assert rows.read_text() == '{"model": "packaged", "change": null}\n'
