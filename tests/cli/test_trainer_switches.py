"""Every switch of Lightning's trainer works, is refused by name, or is listed as untested."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from hrvlm.cli.train import HrvlmCLI, _terminated, main
from hrvlm.training.trainer_settings import check_trainer

SIGNATURE = {name: each.default for name, each in inspect.signature(Trainer).parameters.items()}
WORKING: dict[str, Any] = {
    "accelerator": "cpu", "strategy": "auto", "devices": 1, "num_nodes": 1, "precision": "bf16-mixed",
    "logger": False, "callbacks": None, "max_epochs": 2, "min_epochs": 1, "max_steps": 3, "min_steps": 1,
    "max_time": "00:01:00:00", "limit_train_batches": 2, "limit_val_batches": 1, "val_check_interval": 1.0,
    "check_val_every_n_epoch": 1, "num_sanity_val_steps": 1, "log_every_n_steps": 1, "enable_checkpointing": False,
    "enable_progress_bar": False, "enable_model_summary": False, "accumulate_grad_batches": 2,
    "gradient_clip_val": 1.0, "gradient_clip_algorithm": "value", "deterministic": "warn", "benchmark": False,
    "inference_mode": False, "use_distributed_sampler": False, "profiler": "simple", "detect_anomaly": False,
    "plugins": [], "sync_batchnorm": True, "reload_dataloaders_every_n_epochs": 1, "enable_autolog_hparams": False,
    "overfit_batches": 0,
}  # fmt: skip
REFUSED: dict[str, list[Any]] = {
    "precision": ["bf16-true", "16-true", "transformer-engine", "transformer-engine-float16"],
    "overfit_batches": [1, 0.5],
    "inference_mode": [True],
    "accumulate_grad_batches": [0, -1],
    "check_val_every_n_epoch": [0],
    "gradient_clip_val": [-1.0, float("nan")],
    "reload_dataloaders_every_n_epochs": [-1],
}
ELSEWHERE = {
    "fast_dev_run": "a test of its own below",
    "default_root_dir": "every test of training sets it",
}
UNTESTED = {
    "limit_test_batches": "there is no command test",
    "limit_predict_batches": "there is no command predict",
    "barebones": "Lightning's measurement of its own overhead",
    "model_registry": "a cloud service",
}


def test_every_switch_is_known_here() -> None:
    assert set(SIGNATURE) == set(WORKING) | set(REFUSED) | set(ELSEWHERE) | set(UNTESTED)


def test_switches_that_work_do_so_together(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = make_settings(tmp_path)
    chosen["trainer"] = WORKING | {"default_root_dir": str(tmp_path)}
    run_train(tmp_path, chosen)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_switches_that_cannot_work_are_refused_by_name(name: str, value: Any) -> None:
    usual = SIGNATURE | {"inference_mode": False}
    check_trainer(usual)
    with pytest.raises(ValueError, match=rf"expected trainer\.{name} .*{value}|inference_mode: false"):
        check_trainer(usual | {name: value})


def test_the_command_line_is_checked(
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words, told in (
        (["--trainer.precision=bf16-true"], "expected trainer.precision 32-true, bf16-mixed"),
        (["--trainer.max_epochs=-1", "--trainer.callbacks=null"], "expected trainer.max_epochs or trainer.max_steps"),
        (["--trainer.devices=foo"], "`devices` selected with"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run_train(tmp_path, make_settings(tmp_path), *words)
        assert stopped.value.code == 1
        assert told in capsys.readouterr().err.splitlines()[-1]


def test_there_is_no_command_test_or_predict(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(HrvlmCLI.subcommands()) == ["fit", "validate"]
    with pytest.raises(SystemExit) as stopped:
        main(["predict"])
    assert stopped.value.code == 2
    assert "predict" in capsys.readouterr().err


def test_a_metric_that_nobody_logs_is_one_sentence(
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = make_settings(tmp_path)
    stopping = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "nothing"}}
    chosen["trainer"] |= {"callbacks": [stopping], "max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
    with pytest.raises(SystemExit) as stopped:
        run_train(tmp_path, chosen)
    assert stopped.value.code == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("train.py: error: Early stopping conditioned on metric `nothing` which is not available")
    assert "Traceback" not in said


def test_lightnings_exit_after_sigterm_has_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Under SLURM Lightning handles the signal."""
    with pytest.raises(SystemExit) as stopped, _terminated("it"):
        raise SIGTERMException
    assert stopped.value.code == 143
    assert capsys.readouterr().err.startswith("it: error: stopped by SIGTERM")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_fast_run_looks_at_two_images_and_leaves_nothing(
    make_settings: Callable[..., Any], run_train: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = make_settings(tmp_path)
    export = {"class_path": "hrvlm.callbacks.ExportModel", "init_args": {"folder": str(tmp_path / "export")}}
    geometry = {
        "class_path": "hrvlm.callbacks.GeometryCallback",
        "init_args": {"steps": 1, "threat_model": {"eps": 0.01}},
    }
    counter = {"class_path": f"{__name__}.Counter", "init_args": {"path": str(tmp_path / "count")}}
    chosen["trainer"]["callbacks"] += [export, geometry, counter]
    for name in ("export/model.txt", "robustness/after.rank=0.jsonl", "certificates/epoch=000/rank=0.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("real\n")
    before = contents(tmp_path)
    run_train(tmp_path, chosen, "--trainer.fast_dev_run=true")
    found = contents(tmp_path)
    assert yaml.safe_load(found.pop("count")) == {"robustness": 2, "certificates": 2, "geometry": 2}
    found.pop("given.yaml")
    assert found == before


class Counter(Callback):
    """Notes at how many images the callbacks looked."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        rows: dict[str, list[dict[str, Any]]] = {}
        for callback in trainer.callbacks:
            for name in ("robustness", "certificates", "geometry"):
                if type(callback).__name__.lower().startswith(name[:8]):
                    found = callback.rows if hasattr(callback, "rows") else []
                    rows[name] = [row for part in found.values() for row in part] if isinstance(found, dict) else found
            if type(callback).__name__ == "CertificationCallback":
                levels = next(iter(callback.summary["smoothing"].values()))
                rows["certificates"] = [{"index": n} for n in range(next(iter(levels.values()))["images"])]
        counts = {name: len({row["index"] for row in found if "index" in row}) for name, found in rows.items()}
        self.path.write_text(yaml.safe_dump(counts))
