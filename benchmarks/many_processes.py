"""What `certify.py run` costs in several processes of one machine, how long they wait, and what the loss of one costs.

    python benchmarks/many_processes.py [--processes 1 2 4 8] [--images 64] [--samples 500]

The packaged model is certified on emoji by 1, 2, 4 and 8 processes of one thread each, start-up included. Of each run
the wall time, how long each process worked and waited for others, and whether its file of rows is that of one process,
byte for byte. Then one process of four is killed once each of them has written a row:
seconds until no other one was left, what was said, and whether the same command then ends with the same file. Writes
benchmarks/results/many_processes.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from machines import machine

from hrvlm.evaluation.folder_names import PROCESSES, ROWS_OF
from hrvlm.rows.shards import shard_path

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "many_processes.json"
ROWS = ROWS_OF["run"]
LOSING, PATIENCE = 4, 120.0
"""Processes of which one is lost; seconds that the others are waited for."""


def start(folder: Path, processes: int, options: argparse.Namespace) -> subprocess.Popen[str]:
    """A run that writes to a folder, in a session of its own."""
    plan = {"num_images": options.images, "n": options.samples}
    command = [sys.executable, "certify.py", "run", "--checkpoint", "emoji", "--config", "configs/certify/emoji.yaml"]
    command += [part for name, value in plan.items() for part in (f"--plan.{name}", str(value))]
    command += ["--devices", str(processes), "--output", str(folder)]
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def timed(folder: Path, processes: int, options: argparse.Namespace) -> tuple[dict[str, Any], bytes]:
    """What a whole run costs, and its rows.

    Raises:
        RuntimeError: if it fails.
    """
    began = time.perf_counter()
    run = start(folder, processes, options)
    _, said = run.communicate()
    if run.returncode:
        raise RuntimeError(f"expected a run in {processes} processes to succeed, got {run.returncode}: {said[-2000:]}")
    told = folder / PROCESSES
    shares = json.loads(told.read_text(encoding="utf-8"))["processes"] if told.exists() else []
    waited = [share["waited_seconds"] for share in shares] or [0.0]
    return {
        "wall_seconds": round(time.perf_counter() - began, 1),
        "longest_wait_seconds": max(waited),
        "processes": shares,
    }, (folder / ROWS).read_bytes()


def alive(session: int) -> dict[int, bytes]:
    """Processes of a session that live, with their environments."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, _, _, of_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of_session) == session and state != "Z":
                found[int(entry.name)] = (entry / "environ").read_bytes()
    return found


def lost(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Kills the last process of a run that all of them have written rows of, and waits for the others to end."""
    run = start(folder, LOSING, options)
    parts = [shard_path(folder / ROWS, rank) for rank in range(LOSING)]
    while run.poll() is None and not all(part.is_file() and part.stat().st_size for part in parts):
        time.sleep(0.01)
    named = b"LOCAL_RANK=%d" % (LOSING - 1)
    last = [pid for pid, environment in alive(run.pid).items() if named in environment.split(b"\0")]
    os.kill(min(last), signal.SIGKILL)  # helpers that it started are younger
    began = time.perf_counter()
    while alive(run.pid) and time.perf_counter() - began < PATIENCE:
        run.poll()
        time.sleep(0.02)
    seconds, left = time.perf_counter() - began, alive(run.pid)
    if left:
        os.killpg(run.pid, signal.SIGKILL)
    _, said = run.communicate()
    return {
        "processes": LOSING,
        "others_ended_after_seconds": round(seconds, 1),
        "others_left": len(left),
        "exit_code": run.returncode,
        "said": [line for line in said.splitlines() if "process" in line and "distributed" not in line][-3:],
        "rows_kept": sum(part.read_bytes().count(b"\n") for part in parts if part.exists()),
    }


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        whole = b""
        for processes in options.processes:
            found[str(processes)], rows = timed(Path(name) / str(processes), processes, options)
            whole = whole or rows
            found[str(processes)]["rows_equal"] = rows == whole
            print(processes, found[str(processes)], flush=True)
        folder = Path(name) / "lost"
        without = lost(folder, options)
        again, rows = timed(folder, LOSING, options)
        without |= {"resumed_wall_seconds": again["wall_seconds"], "resumed_rows_equal": rows == whole}
        print(without, flush=True)
    told = {"machine": machine(), "images": options.images, "samples": options.samples, "rows": whole.count(b"\n")}
    text = json.dumps({**told, "by_processes": found, "lost": without}, indent=2) + "\n"
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
