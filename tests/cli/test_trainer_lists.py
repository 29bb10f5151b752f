"""Lists of a trainer: callbacks that a later file takes away are told, and loggers follow a given folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import Namespace

from hrvlm.cli.train import main
from hrvlm.cli.trainer_lists import lost_of, move_loggers


def loggers(*places: tuple[str, str]) -> list[Namespace]:
    return [Namespace(init_args=Namespace(save_dir=folder, name=name)) for folder, name in places]


def places(trainer: Namespace) -> list[tuple[str, str]]:
    return [(logger.init_args.save_dir, logger.init_args.name) for logger in trainer.logger]


def test_loggers_follow_the_folder_that_is_given() -> None:
    given = ("runs", "quickstart"), ("runs", "quickstart/tensorboard"), ("elsewhere", "logs")
    trainer = Namespace(default_root_dir="new", logger=loggers(*given))
    move_loggers(trainer, "runs/quickstart")
    assert places(trainer) == [("new", ""), ("new", "tensorboard"), ("elsewhere", "logs")]


@pytest.mark.parametrize("of_files", [None, "new", "runs/quickstart"])
def test_loggers_stay_where_files_put_them(of_files: str | None) -> None:
    trainer = Namespace(default_root_dir=of_files or "new", logger=loggers(("runs", "quickstart")))
    move_loggers(trainer, of_files)
    assert places(trainer) == [("runs", "quickstart")]
    move_loggers(Namespace(default_root_dir="new", logger=True), "runs")


def test_one_of_several_of_a_class_is_lost_too() -> None:
    def listed(*names: str) -> list[dict[str, str]]:
        return [{"class_path": f"hrvlm.callbacks.{name}"} for name in names]

    before = listed("Robustness", "Certification", "Certification", "Certification", "Summary")
    assert lost_of(before, listed("Summary", "Certification")) == ["Robustness", "2 of 3 Certification"]
    assert lost_of(before, before[::-1]) == lost_of(None, before) == []
    assert lost_of(before[-1:], None) == ["Summary"]


def test_a_later_file_that_drops_callbacks_says_so_and_results_follow_the_command_line(
    make_settings: Callable[[Path], dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = make_settings(tmp_path)
    chosen["trainer"] |= {"limit_train_batches": 1, "max_epochs": 1, "limit_val_batches": 0}
    bare = [{"class_path": "hrvlm.callbacks.SummaryTable"}]
    files = {"first": chosen, "second": {"trainer": {"callbacks": bare}}, "third": {"trainer": {"callbacks+": bare}}}
    for name, settings in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    config = [word for name in files for word in ("--config", str(tmp_path / f"{name}.yaml"))]
    main(["fit", *config, "--trainer.default_root_dir", str(tmp_path / "new")])
    told = [line for line in capsys.readouterr().err.splitlines() if "callbacks" in line]
    lost = "RobustnessCallback, CertificationCallback, ModelCheckpoint"
    assert told == [
        f"train.py: callbacks: of {tmp_path / 'second.yaml'} replaces the list before it, without {lost}; "
        "callbacks+: would add to it"
    ]
    assert (tmp_path / "new" / "run" / "version_0" / "config.yaml").is_file()
    assert not (tmp_path / "run").exists()
