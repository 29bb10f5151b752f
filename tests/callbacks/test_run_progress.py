"""What training says of its progress: in a real terminal one display that moves, elsewhere lines."""

from __future__ import annotations

import math
import os
import pty
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningModule, Trainer

from hrvlm.callbacks.run_progress import RunProgress
from hrvlm.evaluation import pace

EVALUATING = ("RobustnessCallback", "CertificationCallback", "SummaryTable")


@contextmanager
def terminal(patch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Lets standard error be a terminal, and collects what a person would see there."""
    keeper, end = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        try:
            while part := os.read(keeper, 65536):
                seen.append(part)
        except OSError:  # what Linux says when the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(end, "w") as stream:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        yield seen
        patch.undo()
    reader.join()
    os.close(keeper)


@pytest.fixture
def few(make_settings: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    """One epoch, with callbacks that evaluate, and Lightning's own bar."""
    chosen = make_settings(tmp_path)
    kept = [part for part in chosen["trainer"]["callbacks"] if part["class_path"].endswith(EVALUATING)]
    bar = {"class_path": "lightning.pytorch.callbacks.RichProgressBar"}
    chosen["trainer"] |= {"max_epochs": 1, "enable_progress_bar": True, "callbacks": [bar, *kept]}
    chosen["trainer"]["enable_checkpointing"] = False
    return chosen


def counts(text: str, task: str) -> list[int]:
    """How much of a task the display has shown as done, in order."""
    return [int(done) for done in re.findall(rf"{task}\S* [^\n]*?(\d+)/\d+", text)]


def test_tasks_of_callbacks_move_in_a_terminal_and_leave_nothing_behind(
    few: dict[str, Any], tmp_path: Path, run_train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch, terminal(patch) as seen:
        run_train(tmp_path, few)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(seen).decode())
    for task in ("pgd2 before", "certifying", "pgd2 after", "epoch 1 of 1"):
        assert max(counts(text, task), default=0) > 0, task
    assert "certified so far" in text
    said = capsys.readouterr().out
    assert any(line.startswith("Results: ") for line in said.splitlines()[-2:])  # where the page lies may follow
    assert "━" not in said.replace("━━━━┳", "").partition("Accuracy in percent")[0]  # the display is on the other one


def test_lines_are_said_where_there_is_no_terminal(
    few: dict[str, Any],
    tmp_path: Path,
    run_train: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "FIRST", 0.0)
    monkeypatch.setattr(pace, "EVERY", 0.0)
    run_train(tmp_path, few)
    lines = capsys.readouterr().err.splitlines()
    steps = [line for line in lines if line.startswith("epoch ")]
    assert len(steps) == 4
    assert re.fullmatch(r"epoch 1 of 1, step 3 of 4, loss [\d.]+, [\d.e+]+ pictures a second, \d+ s left", steps[2]), (
        steps[2]
    )
    assert any(re.fullmatch(r"certifying: .* a second.*certified so far", line) for line in lines)
    assert any(line.startswith("pgd2 after: ") for line in lines)
    assert all(line.strip() for line in lines)
    assert "Preparing 11 prompts of all levels, and a sample of the pictures" in caplog.text
    assert not any("Tip" in line or "TPU" in line for line in lines)


def test_lines_of_training_and_of_its_callbacks_keep_one_pace(
    few: dict[str, Any],
    tmp_path: Path,
    run_train: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "FIRST", 0.0)  # and no other for half a minute, which this run does not take
    monkeypatch.setattr(pace.LINES, "at", 0.0)
    run_train(tmp_path, few)
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith(("epoch ", "pgd2 ", "certifying"))]) == 1


def test_the_first_line_waits_from_the_beginning_of_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace.LINES, "at", -math.inf)
    monkeypatch.setattr(pace, "FIRST", 0.0)
    bar, trainer = RunProgress(), Trainer(max_epochs=1, logger=False, enable_checkpointing=False)
    bar.setup(trainer, LightningModule(), "fit")
    monkeypatch.setattr(pace, "FIRST", 60.0)  # reading data and model has taken no less
    bar.on_train_start(trainer, LightningModule())
    capsys.readouterr()
    bar.on_train_batch_end(trainer, LightningModule(), None, {}, 0)
    assert not capsys.readouterr().err  # of one step, by which no time that is left can be told


def test_a_task_leaves_the_display_of_the_run_when_it_is_done(
    few: dict[str, Any], tmp_path: Path, run_train: Callable[..., Path]
) -> None:
    few["trainer"]["max_epochs"] = 2
    with pytest.MonkeyPatch.context() as patch, terminal(patch) as seen:
        run_train(tmp_path, few)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(seen).decode())
    second = text[text.index("epoch 2 of 2") :]
    assert "certifying" not in second[: second.index("4/4")]  # that of the first epoch
