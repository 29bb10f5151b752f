"""SIGINT, SIGTERM and SIGHUP end every process of a command within seconds, in one sentence; the run can go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from command_runs import ROOT, command_line
from sweeps import sweep

from hrvlm.cli.certify import main
from hrvlm.rows.shards import shard_files, shard_path
from hrvlm.training.launching import LOST
from hrvlm.training.stopping import SIGNALS

ROWS = "certificates.jsonl"
PATIENCE = 5.0  # seconds from a signal to the end of all processes
WAITING = """
import hashlib, sys, threading, time
from hrvlm.cli.errors import clear_errors
with clear_errors("program"):
    threading.Timer(0.3, print, ["ready"], {"flush": True}).start()  # once the main thread is where it is to be
    if sys.argv[1] == "compiled":  # minutes in which no signal handler of Python gets its turn
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
    time.sleep(60)
"""
LOSING = """
import os, signal
from hrvlm.cli.errors import clear_errors
from hrvlm.training.launching import Processes

def share(fabric):
    fabric.barrier()
    if fabric.global_rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    fabric.barrier()

with clear_errors("program"):
    Processes(devices=2).launch(share)
"""


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Programs in a shell's background ignore SIGINT, those of nohup SIGHUP, and so does whatever they start."""
    ignored = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="module")
def arguments(
    tiny_model: Path,
    pictures: Path,
    tree_file: Path,
    small_plan: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., list[str]]:
    """Command line of a run that takes longer than these tests wait, but for the few images that are asked for."""
    plan = small_plan | {"num_images": 12, "n": 2_000}
    folder = tmp_path_factory.mktemp("runs")
    return command_line("run", tiny_model, pictures=pictures, tree=tree_file, plan=plan, folder=folder)


@contextmanager
def program(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program in a group of its own; whatever a test finds, nothing of it is left, neither processes nor pipes."""
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts programs that end with the test."""
    with ExitStack() as programs:
        yield lambda *command, **environment: programs.enter_context(program(*command, **environment))


def members(group: int) -> list[int]:
    """Processes of a process group that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, at = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(at) == group and state != "Z":
                found.append(int(entry.name))
    return found


def ended(process: subprocess.Popen[str]) -> bool:
    """Whether all of a program's processes end in time; those that do not are killed."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None and not members(process.pid):
            return True
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("place", sweep(["python", "compiled"], quick=["python"]))
def test_one_sentence_and_a_fitting_code_wherever_the_program_is(number: int, place: str, start: Start) -> None:
    process = start("-c", WAITING, place)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert ended(process)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert said.count("\n") == 1
    assert f"program: stopped by {signal.Signals(number).name}" in said


def test_a_signal_that_is_ignored_stays_ignored(start: Start) -> None:
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{WAITING}".replace("sleep(60)", "sleep(1)")
    process = start("-c", code, "python")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    assert process.communicate() == ("", "")
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_two_processes_end_together_and_the_command_goes_on(
    number: int, arguments: Callable[..., list[str]], start: Start, tmp_path: Path
) -> None:
    process = start("certify.py", *arguments(tmp_path, "--devices", "2"))
    parts = [shard_path(tmp_path / ROWS, rank) for rank in range(2)]
    while process.poll() is None and not all(part.is_file() and part.stat().st_size for part in parts):
        time.sleep(0.01)
    process.send_signal(number)  # to the first process alone, as a scheduler or a kill does
    assert ended(process)
    _, said = process.communicate()
    assert "Traceback" not in said
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert said.strip().splitlines()[-1].startswith("certify.py: stopped by")
    kept = b"".join(part.read_bytes() for part in shard_files(tmp_path / ROWS))
    main(arguments(tmp_path, "--plan.num_images", "2"))  # refused if anybody still held the folder
    rows = (tmp_path / ROWS).read_bytes()
    assert all(line in rows for line in kept.splitlines(keepends=True) if line.endswith(b"\n"))


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "started"), [("ddp", 1), ("ddp_fork", 2)])
def test_the_loss_of_another_process_is_one_sentence(
    strategy: str, started: int, arguments: Callable[..., list[str]], start: Start, tmp_path: Path
) -> None:
    process = start("certify.py", *arguments(tmp_path, "--devices", "2", "--strategy", strategy))
    parts = [shard_path(tmp_path / ROWS, rank) for rank in range(2)]
    while process.poll() is None and not all(part.is_file() for part in parts):
        time.sleep(0.01)
    assert len(members(process.pid)) > started
    os.kill(max(set(members(process.pid)) - {process.pid}), signal.SIGKILL)  # helpers of a start are gone by now
    process.wait(timeout=120)
    _, said = process.communicate()
    assert process.returncode != 0
    assert "Traceback" not in said
    assert LOST in said or (strategy == "ddp" and "Forcefully terminating all other processes" in said)


@pytest.mark.slow
def test_a_process_that_waits_for_a_lost_one_says_so_in_one_sentence(start: Start) -> None:
    """Started as by torchrun on many nodes: no launcher of this node sees the end of the other process first."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        job = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "TORCHELASTIC_RUN_ID": "job"}
    job |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    first, second = (start("-c", LOSING, **job, RANK=rank, LOCAL_RANK=rank) for rank in ("0", "1"))
    _, said = first.communicate(timeout=120)
    second.communicate(timeout=120)
    assert (first.returncode, second.returncode) == (1, -signal.SIGKILL), said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1] == f"program: error: {LOST}"


@pytest.mark.slow
def test_training_is_ended_by_a_signal_with_its_code(start: Start, tmp_path: Path) -> None:
    short = ["--trainer.callbacks=null", "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}"]
    endless = ["--trainer.limit_train_batches=1", "--trainer.max_epochs=100000", "--trainer.enable_progress_bar=false"]
    brief = ["--trainer.limit_val_batches=1"]  # for the first checkpoint to be there soon
    process = start("train.py", "fit", "--config", "configs/emoji/quickstart.yaml", *short, *endless, *brief)
    while process.poll() is None and not list(tmp_path.rglob("*.ckpt")):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert ended(process)
    _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("train.py: stopped by SIGTERM")
