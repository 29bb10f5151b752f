"""Results of a folder from Python: loaded, told, drawn and verified."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from report_rows import robustness_rows, semantic_rows, smoothing_row
from test_plots import METRICS, geometry_rows, push_record

import hrvlm
from hrvlm.certificates.kinds.registry import record_from_row

SMOOTHING = [smoothing_row(index=index, level=level, count=99) for index in range(2) for level in range(2)]


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """What a training run leaves: certificates of two epochs, attacks before and after, geometry, metrics."""
    for epoch in range(2):
        write(tmp_path / f"certificates/epoch={epoch:03d}/rank=0.jsonl", SMOOTHING[: 2 + 2 * epoch])
        write(tmp_path / f"geometry/epoch={epoch:03d}.jsonl", geometry_rows(epoch))
    for stage in ("before", "after"):
        rows = [row | {"stage": stage} for row in robustness_rows()]
        write(tmp_path / f"robustness/{stage}.rank=0.jsonl", rows)
    (tmp_path / "metrics.csv").write_text(METRICS)
    return tmp_path


def test_certificates_of_a_run_are_loaded_told_drawn_and_verified(tmp_path: Path) -> None:
    write(tmp_path / "certificates.jsonl", SMOOTHING)
    found = hrvlm.Certificates.load(tmp_path)
    assert list(found) == [record_from_row(row) for row in SMOOTHING]
    assert found.rows() == SMOOTHING
    assert repr(found) == f"Certificates({str(tmp_path)!r}: 4 rows of run)"
    told = str(found.table(radii=[0.0, 0.1]))
    assert "r=0.1" in told
    assert "100.0" in told
    assert "| t | level 1 | 100.0 |" in found.table()._repr_markdown_()
    assert list(found.plots()) == ["certified_accuracy"]
    assert found.plot().axes[0].get_title() == "t"
    assert found.verify() == []


def test_what_does_not_hold_is_loaded_and_told_by_verify(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [SMOOTHING[0] | {"radius": 9.0}, *SMOOTHING[1:]])
    found = hrvlm.Results.load(path)
    assert len(found) == 4
    (problem,) = found.verify()
    assert problem.field == "radius"
    assert problem.claims_too_much


def test_a_training_run_has_its_last_certificates_both_stages_and_its_curves(trained: Path) -> None:
    found = hrvlm.Results.load(trained)
    assert len(found.certificates) == 4
    assert {record.stage for record in found.records["attack"]} == {"before", "after"}
    assert "pgd20 after" in str(found.table())
    assert list(found.plots()) == [
        "certified_accuracy", "transfer_matrix", "level_geometry", "training_curves", "certified_by_epoch",
    ]  # fmt: skip
    assert found.verify() == []
    first = hrvlm.Certificates.load(trained / "certificates" / "epoch=000")
    assert len(first) == 2
    assert first.verify() == []


def test_a_training_run_whose_rows_claim_too_much_is_told(trained: Path) -> None:
    write(trained / "certificates/epoch=001/rank=0.jsonl", [SMOOTHING[0] | {"radius": 9.0}])
    assert [problem.field for problem in hrvlm.Results.load(trained).verify()] == ["radius"]


def test_attacks_towards_an_answer_are_results_too(tmp_path: Path) -> None:
    write(tmp_path / "pushes.jsonl", [push_record(0.1, True).to_row()])
    found = hrvlm.Results.load(tmp_path)
    assert len(found.table()) == 1
    assert list(found.plots()) == ["attack_curves"]


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected the rows of a command or of a training run in .*, found none"):
        hrvlm.Results.load(tmp_path)
    write(tmp_path / "robustness.jsonl", robustness_rows())
    with pytest.raises(ValueError, match=r"expected certificates in .*, got rows of attack alone: .*hrvlm\.Results"):
        hrvlm.Certificates.load(tmp_path)
    with pytest.raises(
        ValueError, match=r"expected one of the figures transfer_matrix of .*, got 'certified_accuracy'"
    ):
        hrvlm.Results.load(tmp_path).plot("certified_accuracy")
    write(tmp_path / "certificates.jsonl", [SMOOTHING[0] | {"radius": "far"}])
    with pytest.raises(ValueError, match="radius"):
        hrvlm.Certificates.load(tmp_path)


def test_rows_of_several_kinds_are_counted_together(tmp_path: Path) -> None:
    write(tmp_path / "certificates.jsonl", [*SMOOTHING, *semantic_rows(2)])
    found = hrvlm.Certificates.load(tmp_path)
    assert list(found.plots()) == ["certified_accuracy", "semantic_invariance"]
    assert len(found.table()) == 2
