"""Loggers get scalars through Lightning, and those that take pictures the figures of certificates and attacks."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

LOGGERS = "lightning.pytorch.loggers"
SCALAR = "certificates/smoothing/kinds/0/average_certified_radius"
FIGURES = {
    "certificates/certified_accuracy", "certificates/semantic_invariance", "robustness/after/transfer_pgd1",
}  # fmt: skip


def train(folder: Path, chosen: dict[str, Any], run_train: Callable[..., Path], logger: str, **arguments: Any) -> None:
    """One step of one epoch, with two images certified and attacked, logged to CSV files and by another logger."""
    callbacks = {part["class_path"].rpartition(".")[2]: part["init_args"] for part in chosen["trainer"]["callbacks"]}
    callbacks["CertificationCallback"]["plan"]["init_args"] |= {"num_images": 2, "n": 20}
    callbacks["RobustnessCallback"] |= {"num_images": 2, "steps": 1, "before": False}
    wanted = ("RobustnessCallback", "CertificationCallback")
    chosen["trainer"]["callbacks"] = [
        part for part in chosen["trainer"]["callbacks"] if part["class_path"].endswith(wanted)
    ]
    chosen["trainer"] |= {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0}
    chosen["trainer"]["logger"].append({"class_path": f"{LOGGERS}.{logger}", "init_args": arguments})
    run_train(folder, chosen)
    with next(folder.rglob("metrics.csv")).open(encoding="utf-8") as file:
        assert SCALAR in next(csv.reader(file))


def test_tensorboard_gets_scalars_and_figures(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path, make_settings(tmp_path), run_train, "TensorBoardLogger", save_dir=str(tmp_path), name="board")
    events = EventAccumulator(str(next(tmp_path.rglob("events.out.*")).parent)).Reload()
    assert SCALAR in events.Tags()["scalars"]
    assert set(events.Tags()["images"]) == FIGURES
    (figure,) = events.Images("certificates/certified_accuracy")
    assert figure.step == 1
    assert (figure.width, figure.height) == (460, 360)  # with the legend below
    assert figure.encoded_image_string.startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("wandb") is None, reason="needs wandb: make test-loggers")
def test_weights_and_biases_gets_them_offline(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONSOLE", "off")  # else it reads what later tests print
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")  # nothing is told to anyone
    import wandb

    train(tmp_path, make_settings(tmp_path), run_train, "WandbLogger", save_dir=str(tmp_path), offline=True)
    wandb.teardown()  # else its service writes on
    (run,) = tmp_path.glob("wandb/offline-run-*")
    pictures = {path.relative_to(run / "files/media/images").as_posix() for path in run.rglob("*.png")}
    assert {name.rpartition("_")[0].rpartition("_")[0] for name in pictures} == FIGURES
    (stored,) = run.glob("*.wandb")
    assert SCALAR.encode() in stored.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mlflow") is None, reason="needs mlflow: make test-loggers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlflow_gets_them_in_a_database(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is told to anyone
    monkeypatch.chdir(tmp_path)  # where it lays pictures that a database does not hold
    train(tmp_path, make_settings(tmp_path), run_train, "MLFlowLogger", tracking_uri="sqlite:///mlflow.db")
    (artifacts,) = tmp_path.glob("mlruns/*/*/artifacts")
    pictures = {path.parent.relative_to(artifacts).as_posix() for path in artifacts.rglob("step=0000001.png")}
    assert pictures == FIGURES
    with closing(sqlite3.connect("mlflow.db")) as stored:
        names = {name for (name,) in stored.execute("select key from metrics")}
    # The last two beside each other, which MLflow's store of files refuses.
    assert names >= {SCALAR, "robustness/after/pgd1/kinds/0", "robustness/after/pgd1/kinds/0/on/kinds/1"}
