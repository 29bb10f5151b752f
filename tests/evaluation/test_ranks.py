"""Processes of a run say how long they worked and waited; see `tests/cli/test_killed_runs.py` for what they write."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from lightning.fabric import Fabric

from hrvlm.evaluation.folder_names import PROCESSES
from hrvlm.evaluation.processes import Ranks
from hrvlm.training.launching import Processes, StrategyName

LATE = 1.0


def share(fabric: Fabric, folder: Path) -> None:
    """A share of nothing, which takes the second process longer."""
    ranks = Ranks(fabric)
    assert ranks.first(lambda: "found") == "found"
    if ranks.rank == 1:
        time.sleep(LATE)
    ranks.finish(folder)


def test_the_one_that_is_done_first_waits_for_the_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Processes(devices=2, strategy="ddp_fork").launch(share, tmp_path)
    first, second = json.loads((tmp_path / PROCESSES).read_text())["processes"]
    assert first["waited_seconds"] > 0.9 * LATE > first["worked_seconds"]
    assert second["worked_seconds"] > 0.9 * LATE > second["waited_seconds"]
    said = capfd.readouterr().err
    assert "process 1 of 2: worked 0 s, waited 1 s for others" in said
    assert "process 2 of 2: worked 1 s, waited 0 s for others" in said


def settings_of(fabric: Fabric, settings: Processes, folder: Path) -> None:
    """What a process was given."""
    (folder / str(fabric.global_rank)).write_text(str(settings))


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_processes_are_given_settings_as_they_are(strategy: StrategyName, tmp_path: Path) -> None:
    settings = Processes(devices=2, strategy=strategy)  # frozen, as all settings are
    settings.launch(settings_of, settings, tmp_path)
    assert [(tmp_path / rank).read_text() for rank in "01"] == 2 * [str(settings)]


def test_one_process_waits_for_nobody_and_writes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Processes().launch(share, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
