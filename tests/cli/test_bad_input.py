"""Whatever a user gets wrong is answered by one sentence and a non-zero exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from hrvlm.cli.certify import main as certify

Change = Callable[[dict[str, Any], Path], None]


def set_model(name: str, value: Any) -> Change:
    return lambda chosen, folder: chosen["model"]["init_args"].update({name: value})


def smaller_tree(chosen: dict[str, Any], folder: Path) -> None:
    tree = yaml.safe_load(Path(chosen["model"]["init_args"]["trees"][0]).read_text())
    del tree["nodes"]["hat"]
    path = folder / "smaller.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    chosen["model"]["init_args"]["trees"] = [str(path)]


def inference_mode(chosen: dict[str, Any], folder: Path) -> None:
    chosen["trainer"]["inference_mode"] = True


def wrong_split(chosen: dict[str, Any], folder: Path) -> None:
    chosen["data"]["init_args"]["validation_split"] = "tests"


CASES = {
    "missing tree": (set_model("trees", ["no/such/tree.yaml"]), "no/such/tree.yaml"),
    "class without leaf": (smaller_tree, "hat"),
    "wrong key": (set_model("learning_rat", 1.0), "learning_rat"),
    "unknown model": (set_model("model", "ViT-B-33"), "ViT-B-33"),
    "inference mode": (inference_mode, "inference_mode"),
    "wrong split": (wrong_split, "tests"),
    "infinite learning rate": (set_model("optimizer", {"learning_rate": 1e30}), "batch is saved in"),
}


def answer(capsys: pytest.CaptureFixture[str], stopped: pytest.ExceptionInfo[SystemExit], program: str) -> str:
    """The one sentence; Lightning's notes of device and seed are no errors."""
    assert stopped.value.code not in (0, None)
    lines = [line for line in capsys.readouterr().err.splitlines() if line and not line.startswith("INFO")]
    assert not any("Traceback" in line or line.startswith("usage") for line in lines)
    (sentence,) = [line for line in lines if "error" in line]
    assert sentence.startswith(f"{program}: error: ")
    assert lines[-1] == sentence
    return sentence


@pytest.fixture
def refused(
    make_settings: Callable[..., Any],
    run_train: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Runs train.py with changed settings and returns its complaint."""

    def run(change: Change, *arguments: str) -> str:
        chosen = make_settings(tmp_path)
        chosen["trainer"]["callbacks"] = []
        change(chosen, tmp_path)
        with pytest.raises(SystemExit) as stopped:
            run_train(tmp_path, chosen, *arguments)
        return answer(capsys, stopped, "train.py")

    return run


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_setting_is_named(case: str, refused: Callable[..., str]) -> None:
    change, named = CASES[case]
    assert named in refused(change)


def test_the_batch_of_a_loss_that_is_no_number_is_saved(refused: Callable[..., str], tmp_path: Path) -> None:
    refused(set_model("optimizer", {"learning_rate": 1e30}))
    (path,) = tmp_path.rglob("non_finite_batch_rank0.safetensors")
    saved = load_file(path)
    assert saved["image"].shape == (8, 3, 32, 32)
    assert saved["label"].shape == (8,)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_named(
    workers: int, refused: Callable[..., str], make_pictures: Callable[..., Path]
) -> None:
    folder = make_pictures()
    # The last picture of a class is not among those from which the head takes its scales, or is: both must be clear.
    (folder / "gem" / "2.png").write_bytes(b"\x89PNG no picture")

    def change(chosen: dict[str, Any], _: Path) -> None:
        chosen["model"]["init_args"]["objective"] = {"class_path": "hrvlm.objectives.CleanObjective"}
        chosen["data"]["init_args"] |= {"train_folder": str(folder), "num_workers": workers}

    assert str(folder / "gem" / "2.png") in refused(change)


def test_a_damaged_evaluation_picture_that_a_worker_meets_is_named(
    refused: Callable[..., str], make_pictures: Callable[..., Path]
) -> None:
    folder = make_pictures()
    (folder / "gem" / "2.png").write_bytes(b"\x89PNG no picture")

    def change(chosen: dict[str, Any], _: Path) -> None:
        chosen["trainer"]["max_epochs"] = 1
        chosen["data"]["init_args"] |= {"evaluation_folders": {"validation": str(folder)}, "num_workers": 1}

    assert str(folder / "gem" / "2.png") in refused(change)


def test_resuming_from_another_architecture_is_refused(
    finished: Any, refused: Callable[..., str], tmp_path: Path
) -> None:
    import torch

    checkpoint = torch.load(finished.checkpoint(0), weights_only=True)
    state = checkpoint["state_dict"]
    state["model.clip.text_projection"] = state["model.clip.text_projection"][:, :16]
    torch.save(checkpoint, tmp_path / "other.ckpt")
    assert "text_projection" in refused(lambda chosen, folder: None, "--ckpt_path", str(tmp_path / "other.ckpt"))


@pytest.mark.parametrize("content", [None, b"no checkpoint"])
def test_resuming_from_no_checkpoint_is_refused(
    content: bytes | None, refused: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "some.ckpt"
    if content is not None:
        path.write_bytes(content)
    assert "checkpoint" in refused(lambda chosen, folder: None, "--ckpt_path", str(path)).lower()


def test_resuming_from_a_checkpoint_cut_short_is_refused(
    finished: Any, refused: Callable[..., str], tmp_path: Path
) -> None:
    whole = finished.checkpoint(0).read_bytes()
    path = tmp_path / "short.ckpt"
    path.write_bytes(whole[: len(whole) // 2])
    assert "whole checkpoint" in refused(lambda chosen, folder: None, "--ckpt_path", str(path))


@pytest.mark.parametrize("checkpoint", ["no/such.ckpt", "ViT-B-33/openai", "no/folder"])
def test_certify_names_a_checkpoint_that_is_none(
    checkpoint: str, finished: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {"data": finished.settings["data"], "trees": finished.settings["model"]["init_args"]["trees"]}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(chosen))
    with pytest.raises(SystemExit) as stopped:
        certify(["run", "--config", str(config), "--checkpoint", checkpoint, "--output", str(tmp_path / "out")])
    assert checkpoint in answer(capsys, stopped, "certify.py")


def test_without_a_command_help_is_shown_and_nothing_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        certify([])
    assert stopped.value.code == 2
    assert "verify              Derives every certificate anew" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["verify", "no/folder"], ["run", "--plan.sigm", "1"]])
def test_certify_complains_in_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        certify(arguments)
    answer(capsys, stopped, "certify.py")
