"""Runs of `certify.py` that several tests make: their command lines, and killing them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from hrvlm.rows.shards import shard_path

ROOT = Path(__file__).parents[2]


def command_line(
    command: str, checkpoint: Path, *, pictures: Path, tree: Path, plan: dict[str, Any], folder: Path
) -> Callable[..., list[str]]:
    """Command line of `run`, `recertify` or `attack` on all pictures, by the folder to write to and further words.

    Args:
        command: "run", "recertify" or "attack".
        checkpoint: The model.
        pictures: Folder of class folders.
        tree: Tree file over the classes.
        plan: What the command's plan is to be.
        folder: Where the configuration is written.
    """
    data = {"evaluation_folders": {"validation": str(pictures)}, "train_folder": str(pictures), "image_size": 32,
            "batch_size": 8, "num_workers": 0}  # fmt: skip
    settings = {
        "data": {"class_path": "hrvlm.data.folder.FolderDataModule", "init_args": data},
        "trees": [str(tree)],
        "plan": plan,
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    start = [command, "--config", str(config), "--checkpoint", str(checkpoint)]
    return lambda output, *more: [*start, "--output", str(output), *more]


def kill_two_processes(arguments: Callable[..., list[str]], folder: Path, rows: str) -> str:
    """Kills a run of the script in two processes as soon as each has written a row; returns what it said."""
    command = [sys.executable, "certify.py", *arguments(folder, "--devices", "2")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # one that ran in this process must have left no trace in it
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True) as both,
    ):
        paths = [shard_path(folder / rows, rank) for rank in range(2)]
        while both.poll() is None and not all(path.is_file() and path.stat().st_size for path in paths):
            time.sleep(0.001)
        os.killpg(both.pid, signal.SIGKILL)
    return (folder / "log").read_text()
