"""Where commands write to: looked at first, told in one sentence, and never half-written."""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_runs import command_line
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from hrvlm.callbacks import ExportModel
from hrvlm.callbacks.folders import check_results
from hrvlm.certificates import RecordWriter, read_rows
from hrvlm.cli.certify import main as certify
from hrvlm.cli.errors import clear_errors
from hrvlm.cli.main import main as hrvlm
from hrvlm.cli.results import print_results

CIFAR = "trees/cifar10.yaml"


def refused(capsys: pytest.CaptureFixture[str], action: Callable[[], Any]) -> str:
    """The one line that a command says when it refuses something."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        action()
    assert stopped.value.code in (1, 2)
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "error: " in sentence
    return sentence


@pytest.mark.parametrize("text", ["", " ", "\0"])
@pytest.mark.parametrize(
    "line",
    [
        *(
            ["certify", command, "--output"]
            for command in ("run", "attack", "targeted-attack", "answers", "audit", "recertify")
        ),
        ["certify", "recertify", "--features"],
        ["certify", "verify"],
        ["certify", "report"],
        ["export", "--output"],
        ["tree", "build", "--output"],
        ["tree", "import", "--output"],
    ],
    ids=" ".join,
)
def test_an_empty_path_is_refused(line: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    joined = [*line[:-1], f"{line[-1]}={text}"] if line[-1].startswith("--") else [*line, text]
    assert "expected a path, got" in refused(capsys, lambda: hrvlm(joined))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device", "rows.jsonl"), "no space left on device: rows.jsonl; make room"),
        (OSError(27, "File too large"), "file too large; make room, or choose another place"),
        (PermissionError(13, "Permission denied", "runs"), "permission denied: runs; check the path"),
        (NotADirectoryError(20, "Not a directory", "a/b"), "not a directory: a/b; check the path"),
        (OSError("a library's own words"), "a library's own words"),
    ],
)
def test_what_the_system_refuses_is_told_in_one_sentence(
    error: OSError, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        with clear_errors("some"):
            raise error

    assert told in refused(capsys, fail)


def test_letters_that_a_terminal_lacks_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="cp1252"))
    with clear_errors("some"):
        print_results(tmp_path / "αποτελέσματα", [])
        print(tmp_path / "αποτελέσματα")
    sys.stdout.flush()
    assert shown.getvalue().decode("cp1252").count("????????????") == 2


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)


@pytest.mark.parametrize("before", [None, "old: tree"])
@pytest.mark.usefixtures("no_room")
def test_a_tree_that_does_not_fit_on_the_disk_leaves_what_was_there(
    before: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classes.txt").write_text("ant\nbee\nelm\n")
    groups = [{"name": "animal", "leaves": ["ant", "bee"]}, {"name": "plant", "leaves": ["elm"]}]
    proposal = {"name": "kinds", "source": "made up", "licence": "MIT", "groups": groups}
    (tmp_path / "proposal.json").write_text(json.dumps(proposal))
    output = tmp_path / "kinds.yaml"
    if before is not None:
        output.write_text(before)
    found = sorted(path.name for path in tmp_path.iterdir())
    files = [str(tmp_path / "proposal.json"), "--leaves", str(tmp_path / "classes.txt")]
    assert "no space left on device" in refused(
        capsys, lambda: hrvlm(["tree", "import", *files, "--output", str(output)])
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == found
    assert (output.read_text() if output.exists() else None) == before


@pytest.mark.usefixtures("no_room")
def test_an_export_that_does_not_fit_on_the_disk_leaves_what_was_there(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path / "new", tmp_path / "old"):
        if folder.name == "old":
            folder.mkdir()
            (folder / "open_clip_model.safetensors").write_text("weights")
        line = ["export", "--checkpoint", str(tiny_model), "--output", str(folder)]
        assert "no space left on device" in refused(capsys, lambda line=line: hrvlm(line))
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "old", "old/open_clip_model.safetensors"
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["file", "file/deeper"])
def test_an_export_looks_at_its_folder_before_it_loads(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    line = ["export", "--checkpoint", "no such model", "--output", str(tmp_path / place)]
    assert "expected a folder that can be written to" in refused(capsys, lambda: hrvlm(line))


class Small(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1000, 1000)


def trainer(folder: Path, **more: Any) -> Trainer:
    return Trainer(**{"default_root_dir": folder, "logger": False, "accelerator": "cpu"} | more)


@pytest.mark.filterwarnings("ignore:.*")
def test_training_looks_at_every_folder_that_it_will_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    good, bad = tmp_path / "good", tmp_path / "file" / "deeper"
    check_results(trainer(good), Small())
    assert not good.exists()
    for made in (
        trainer(bad),
        trainer(good, logger=CSVLogger(str(bad))),
        trainer(good, callbacks=[ModelCheckpoint(dirpath=bad)]),
        trainer(good, callbacks=[ExportModel(str(bad))]),
    ):
        with pytest.raises(ValueError, match="expected a folder that can be written to"):
            check_results(made, Small())
    check_results(trainer(bad, enable_checkpointing=False), Small())  # which writes nothing
    check_results(trainer(bad, fast_dev_run=True), Small())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**21, 2**21))
    with pytest.raises(ValueError, match=r"expected room for a file of 4\.8 MiB"):
        check_results(trainer(good), Small())
    with pytest.raises(ValueError, match="expected the path of a folder"):
        ExportModel(" ")


class Line:
    def to_row(self) -> dict[str, Any]:
        return {"text": "x" * 900}


def test_rows_written_before_the_disk_was_full_are_kept_and_gone_on_from(tmp_path: Path) -> None:
    path, (soft, hard) = tmp_path / "rows.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        with RecordWriter(path) as writer:
            for _ in range(9):
                writer.write([Line()])

    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(read_rows(path)) == 2
    with RecordWriter(path) as writer:
        assert writer.recovered is not None
        writer.write([Line()])
    assert len(read_rows(path)) == 3


@pytest.mark.parametrize("place", ["file", "file/deeper"])
@pytest.mark.parametrize("command", ["run", "attack"])
def test_a_run_into_a_file_is_refused(
    command: str,
    place: str,
    tiny_model: Path,
    pictures: Path,
    tree_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("mine")
    given: dict[str, Any] = {"pictures": pictures, "tree": tree_file, "plan": {"num_images": 1}, "folder": tmp_path}
    line = command_line(command, tiny_model, **given)(tmp_path / place)
    assert "expected a folder that can be written to" in refused(capsys, lambda: certify(line))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_export_of_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    line = ["export", str(tmp_path / "file"), "--to", "tsv"]
    assert "expected rows of certify.py run or zero-shot in" in refused(capsys, lambda: certify(line))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"
