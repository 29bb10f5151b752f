"""The end of a training run: its page, and what is said where none can be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hrvlm.callbacks import RobustnessCallback
from hrvlm.callbacks.summary import other_split
from hrvlm.cli.certify import main


@pytest.mark.filterwarnings("ignore:Experiment logs directory")
def test_a_page_that_cannot_be_written_ends_no_run(
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = make_settings(tmp_path)
    names = ("RobustnessCallback", "SummaryTable")
    kept = [part for part in chosen["trainer"]["callbacks"] if part["class_path"].endswith(names)]
    kept[0]["init_args"]["before"] = False
    chosen["trainer"] |= {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0, "callbacks": kept}
    chosen["trainer"]["enable_checkpointing"] = False
    chosen["trainer"]["logger"][0]["init_args"]["version"] = "version_0"
    folder = tmp_path / "run" / "version_0"
    (folder / "report.html").mkdir(parents=True)  # in the way
    assert run_train(tmp_path, chosen) == folder
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if "no page" in line]
    assert line.endswith(f"); all else is stored, make it with: certify.py report {folder}")
    assert "Results: " in said.out
    (folder / "report.html").rmdir()
    main(["report", str(folder)])
    assert "Attacks: " in (folder / "report.html").read_text(encoding="utf-8")


def test_the_split_of_attacks_is_told_where_it_is_another() -> None:
    attacked = [RobustnessCallback(), RobustnessCallback(split="held_out", name="other")]
    assert other_split(attacked, None) == "held_out"
    assert other_split(attacked[:1], None) is None
    assert other_split(attacked, "held_out") == "the validation split"
