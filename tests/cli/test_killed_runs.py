"""`certify.py run` in 1 and 2 processes, killed and resumed: always the same file, byte for byte."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_runs import ROOT, command_line, kill_two_processes
from sweeps import sweep

from hrvlm.certificates.kinds.semantic import run as semantic_images
from hrvlm.certificates.run.noise_pass import LevelLabels
from hrvlm.cli.certify import main
from hrvlm.evaluation.folder_names import PROCESSES
from hrvlm.rows.locking import held
from hrvlm.rows.shards import shard_files, shard_path

ROWS = "certificates.jsonl"
NUM_IMAGES = 12
NUM_ROWS = NUM_IMAGES * (2 + 2 * 2)


@pytest.fixture(scope="module")
def arguments(
    tiny_model: Path,
    pictures: Path,
    tree_file: Path,
    small_plan: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., list[str]]:
    """Command line of a run that writes to a folder."""
    plan, folder = small_plan | {"num_images": NUM_IMAGES, "n": 300}, tmp_path_factory.mktemp("runs")
    return command_line("run", tiny_model, pictures=pictures, tree=tree_file, plan=plan, folder=folder)


@pytest.fixture(scope="module")
def whole(arguments: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a run in one process that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    main(arguments(folder))
    written = (folder / ROWS).read_bytes()
    assert written.count(b"\n") == NUM_ROWS
    return written


def num_lines(folder: Path) -> int:
    return sum(part.read_bytes().count(b"\n") for part in shard_files(folder / ROWS))


def killed(folder: Path, arguments: list[str], *, lines: int) -> int:
    """Kills a process that runs certify.py as soon as so many rows lie in its folder; returns how many lie there."""
    process = multiprocessing.get_context("fork").Process(target=main, args=(arguments,))
    process.start()
    assert process.pid is not None
    while process.is_alive() and num_lines(folder) < lines:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return num_lines(folder)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_file(
    arguments: Callable[..., list[str]], whole: bytes, tmp_path: Path
) -> None:
    found = [killed(tmp_path, arguments(tmp_path), lines=lines) for lines in (1, 8, 30, NUM_ROWS - 9)]
    assert 0 < found[0] < found[-1] < NUM_ROWS
    assert found == sorted(found)
    assert not (tmp_path / ROWS).exists()
    main(arguments(tmp_path))
    assert (tmp_path / ROWS).read_bytes() == whole
    assert [path.name for path in shard_files(tmp_path / ROWS)] == [ROWS]


@pytest.mark.parametrize("processes", sweep([2, 4, 8], quick=[2]))
def test_several_processes_write_the_same_file_and_say_how_long_they_worked(
    processes: int, arguments: Callable[..., list[str]], whole: bytes, tmp_path: Path
) -> None:
    main(arguments(tmp_path, "--devices", str(processes), "--strategy", "ddp_fork"))
    assert (tmp_path / ROWS).read_bytes() == whole
    shares = json.loads((tmp_path / PROCESSES).read_text())["processes"]
    assert len(shares) == processes
    assert all(share["worked_seconds"] > 0 for share in shares)


@pytest.mark.slow
def test_two_processes_of_the_script_killed_are_resumed_by_one(
    arguments: Callable[..., list[str]], whole: bytes, tmp_path: Path
) -> None:
    said = kill_two_processes(arguments, tmp_path, ROWS)
    assert 0 < num_lines(tmp_path) < NUM_ROWS, said
    main(arguments(tmp_path))
    assert (tmp_path / ROWS).read_bytes() == whole


@pytest.mark.parametrize("torn", sweep([b"", b'{"kind": "smoo'], quick=[b'{"kind": "smoo']))
def test_a_run_killed_while_merging_is_merged_again(
    torn: bytes, arguments: Callable[..., list[str]], whole: bytes, tmp_path: Path
) -> None:
    main(arguments(tmp_path))
    rows = whole.splitlines(keepends=True)
    for rank in range(3):
        part = shard_path(tmp_path / ROWS, rank)
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"".join(rows[rank::3]) + torn)  # as if parts had been merged, but not yet removed
    (tmp_path / f"{ROWS}.new").write_bytes(rows[0])
    main(arguments(tmp_path))
    assert (tmp_path / ROWS).read_bytes() == whole
    assert [path.name for path in shard_files(tmp_path / ROWS)] == [ROWS]


def test_done_images_are_not_looked_at_again(
    arguments: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(arguments(tmp_path))
    before = (tmp_path / ROWS).read_bytes()

    def refuse(*_: Any) -> None:
        raise AssertionError("an image was certified again")

    monkeypatch.setattr(LevelLabels, "of_images", refuse)
    monkeypatch.setattr(semantic_images, "_of_image", refuse)
    main(arguments(tmp_path))
    assert (tmp_path / ROWS).read_bytes() == before


def test_a_folder_that_another_process_writes_to_is_refused(
    arguments: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = shard_path(tmp_path / ROWS, 1)
    part.parent.mkdir(parents=True)
    part.touch()
    with held(part), pytest.raises(SystemExit) as stopped:
        main(arguments(tmp_path))
    assert stopped.value.code == 1
    assert "expected no other process to write" in capsys.readouterr().err


def test_settings_name_the_data_and_rows_of_other_pictures_are_refused(
    arguments: Callable[..., list[str]],
    make_pictures: Callable[..., Path],
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(arguments(tmp_path))
    noted = json.loads((tmp_path / "settings.json").read_text())
    assert noted["given_data"]["class_path"] == "hrvlm.data.folder.FolderDataModule"
    assert noted["given_data"]["init_args"]["evaluation_folders"] == {"validation": str(pictures)}
    assert noted["data_size"] == 32
    moved = "--data.init_args.evaluation_folders"
    same, other = make_pictures(), make_pictures(seed=1)
    main(arguments(tmp_path, moved, json.dumps({"validation": str(same)})))  # the same pictures elsewhere
    with pytest.raises(SystemExit):
        main(arguments(tmp_path, moved, json.dumps({"validation": str(other)})))
    assert "expected the pictures that the rows" in capsys.readouterr().err


@pytest.mark.slow
def test_semantic_rows_do_not_depend_on_the_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = ROOT / "configs" / "certify" / "emoji.yaml"
    more = ["--plan.num_images", "2", "--plan.smoothing", "false"]
    folders = [tmp_path / str(threads) for threads in (1, 2)]
    before = torch.get_num_threads()
    try:
        for threads, folder in enumerate(folders, 1):
            torch.set_num_threads(threads)
            main(["run", "--config", str(config), "--checkpoint", "emoji", "--output", str(folder), *more])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert (folders[0] / ROWS).read_bytes() == (folders[1] / ROWS).read_bytes()
