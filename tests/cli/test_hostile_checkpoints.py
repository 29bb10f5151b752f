"""Checkpoints of strangers: nothing in them runs, none is fetched, and the answer is one sentence."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import fsspec
import pytest
import torch
import yaml
from hostile import Touch, pickled, served
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy
from sweeps import sweep

from hrvlm.models import load
from hrvlm.training.checkpoint_io import SafeCheckpointIO, secure

FORMS = ("zip", "legacy", "legacy with a zip behind it", "bare pickle", "compressed")


def hostile_checkpoint(form: str, path: Path, marker: Path) -> Path:
    """A file that makes the marker when it is unpickled without care."""
    content = {"state_dict": {}, "hrvlm": {"format": 1}, "payload": Touch(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=not form.startswith("legacy"))
    if form == "bare pickle":
        path.write_bytes(pickled(marker))
    if form == "legacy with a zip behind it":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("archive/data.pkl", b"")
    if form == "compressed":
        parts = {info: zipfile.ZipFile(path).read(info) for info in zipfile.ZipFile(path).namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_payload_in_a_checkpoint_does_not_run(form: str, tmp_path: Path) -> None:
    path = hostile_checkpoint(form, tmp_path / "some.ckpt", tmp_path / "marker")
    lightnings = SafeCheckpointIO().load_checkpoint
    for read in (load, lightnings, partial(lightnings, weights_only=False)):
        with pytest.raises(ValueError, match=r"expected a (whole|readable) checkpoint at .*some\.ckpt") as caught:
            read(path)
        assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("form", FORMS)
def test_strategies_of_sharded_models_run_no_payload(form: str, tmp_path: Path) -> None:
    """They have readers of their own, of which that of a whole checkpoint is an unrestricted one of pickles."""
    path = hostile_checkpoint(form, tmp_path / "some.ckpt", tmp_path / "marker")
    strategy = FSDPStrategy()
    strategy.model, strategy._lightning_module = torch.nn.Linear(1, 1), LightningModule()
    secure(cast(Trainer, SimpleNamespace(strategy=strategy)))
    with pytest.raises(ValueError, match=r"expected a (whole|readable) checkpoint at .*some\.ckpt"):
        strategy.load_checkpoint(path, weights_only=True)
    assert not (tmp_path / "marker").exists()


def test_strategies_of_sharded_models_get_what_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def load_checkpoint(_: FSDPStrategy, *given: Any, **named: Any) -> None:
        found.append((given, named))

    monkeypatch.setattr(FSDPStrategy, "load_checkpoint", load_checkpoint)
    torch.save({"state_dict": {"weight": torch.zeros(2, 3)}, "epoch": 1}, tmp_path / "some.ckpt")
    strategy = FSDPStrategy()
    secure(cast(Trainer, SimpleNamespace(strategy=strategy)))
    strategy.load_checkpoint(tmp_path / "some.ckpt")
    strategy.load_checkpoint(tmp_path)  # shares of several processes
    assert found == [((path,), {"weights_only": True}) for path in (tmp_path / "some.ckpt", tmp_path)]


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_program_is_no_checkpoint(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "some.ckpt")
    with pytest.raises(ValueError, match="TorchScript"):
        load(tmp_path / "some.ckpt")


@pytest.fixture
def stopped(
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Runs train.py with further arguments and returns its complaint."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as left:
            run_train(tmp_path, make_settings(tmp_path), *arguments)
        assert left.value.code not in (0, None)
        lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line or "Traceback" in line]
        assert len(lines) == 1, lines
        assert lines[0].startswith("train.py: error: ")
        return lines[0]

    return run


@pytest.mark.parametrize("safely", [[], ["--weights_only", "true"], ["--weights_only", "false"]])
@pytest.mark.parametrize("form", sweep(["zip", "legacy"], quick=["legacy"]))
def test_training_runs_no_payload_of_a_server(
    form: str, safely: list[str], stopped: Callable[..., str], tmp_path: Path
) -> None:
    hostile_checkpoint(form, tmp_path / "some.ckpt", tmp_path / "marker")
    with served(tmp_path) as (address, asked):
        said = stopped("--ckpt_path", f"{address}/some.ckpt", *safely)
    assert asked == []
    assert "weights_only" in said if "false" in safely else f"got the address {address}" in said
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("form", sweep(FORMS, quick=("bare pickle",)))
def test_training_runs_no_payload_of_a_file(form: str, stopped: Callable[..., str], tmp_path: Path) -> None:
    path = hostile_checkpoint(form, tmp_path / "some.ckpt", tmp_path / "marker")
    assert "checkpoint at" in stopped("--ckpt_path", str(path))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("address", ["memory://some.ckpt", "file://{}/some.ckpt", "simplecache::file://{}/some.ckpt"])
def test_training_reads_no_file_system_but_this_machine_s(
    address: str, stopped: Callable[..., str], tmp_path: Path
) -> None:
    path = hostile_checkpoint("zip", tmp_path / "some.ckpt", tmp_path / "marker")
    with fsspec.filesystem("memory").open("memory://some.ckpt", "wb") as file:
        file.write(path.read_bytes())
    assert "got the address" in stopped("--ckpt_path", address.format(tmp_path))
    assert not (tmp_path / "marker").exists()


def test_unsafe_reading_of_a_good_checkpoint_is_refused(stopped: Callable[..., str], finished: Any) -> None:
    assert "weights_only" in stopped("--ckpt_path", str(finished.checkpoint(0)), "--weights_only", "false")


def test_no_command_fetches_a_configuration(stopped: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text("{}")
    with served(tmp_path) as (address, asked):
        for option in ("--config", "--model", "--data", "--trainer"):
            stopped(option, f"{address}/some.yaml")
        assert asked == []


def test_a_checkpoint_does_not_change_the_settings(
    finished: Any, run_train: Callable[..., Path], make_settings: Callable[..., Any], tmp_path: Path
) -> None:
    content = torch.load(finished.checkpoint(0), weights_only=True)
    odd = {"optimizer": {"learning_rate": 0.5}, "trees": ["no/such/tree.yaml"]}
    content["hyper_parameters"] = odd | {"learning_rate": 0.5}
    torch.save(content, tmp_path / "some.ckpt")
    chosen = make_settings(tmp_path)
    chosen["trainer"]["callbacks"] = []
    folder = run_train(tmp_path, chosen, "--ckpt_path", str(tmp_path / "some.ckpt"))
    saved = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["model"]["init_args"]
    rate = chosen["model"]["init_args"]["optimizer"]["learning_rate"]
    assert saved["optimizer"]["learning_rate"] == rate
    assert saved["trees"] == chosen["model"]["init_args"]["trees"]
