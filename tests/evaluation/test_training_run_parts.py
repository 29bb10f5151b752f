"""Parts of a training run come in the order of time, however many epochs there were."""

from __future__ import annotations

from pathlib import Path

from hrvlm.evaluation.training_runs import epoch_metrics, training_run


def test_parts_are_in_the_order_of_epochs(tmp_path: Path) -> None:
    names = ["before", "epoch=000", "epoch=999", "epoch=1000"]
    for name in reversed(names):
        (tmp_path / "certificates" / name).mkdir(parents=True)
        (tmp_path / "certificates" / name / "rank=0.jsonl").touch()
    run = training_run(tmp_path)
    assert run is not None
    assert list(run.certificates) == names
    assert run.end == [tmp_path / "certificates" / "epoch=1000" / "rank=0.jsonl"]
    (tmp_path / "certificates" / "final").mkdir()
    fresh = tmp_path / "certificates" / "final" / "rank=0.jsonl"
    fresh.touch()
    again = training_run(tmp_path)
    assert again is not None
    assert list(again.certificates) == [*names, "final"]
    assert again.end == [fresh]


def test_curves_are_of_lines_that_name_their_epoch(tmp_path: Path) -> None:
    assert epoch_metrics(tmp_path) == {}
    (tmp_path / "metrics.csv").write_text("epoch,step,a\n,1,9\n0,2,1\n0,3,2\nnan,4,8\n1,5,3\n", encoding="utf-8")
    assert epoch_metrics(tmp_path) == {"a": {0: 2.0, 1: 3.0}}
