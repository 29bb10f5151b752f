"""Watching for signals ends with the work, whatever processes were forked meanwhile, and leaves others' alone."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time

import pytest

from hrvlm.training.stopping import GRACE, stoppable

HANDLED = f"""
import os, signal, time
from hrvlm.training.stopping import SIGNALS, stoppable
if {{before}}:
    signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
signals = SIGNALS if {{before}} else tuple(number for number in SIGNALS if number != signal.SIGTERM)
with stoppable("it", signals):
    signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
    os.kill(os.getpid(), signal.SIGTERM)
    end = time.monotonic() + {GRACE + 1}
    while time.monotonic() < end:
        time.sleep(0.1)
print("went on")
"""

INNER = (
    "import time; from hrvlm.training.stopping import stoppable\nwith stoppable('inner'): time.sleep(1)\nprint('done')"
)
OUTER = f"""
import subprocess, sys
from hrvlm.training.stopping import stoppable
with stoppable("outer"):
    subprocess.run(["sh", "-c", '"$0" -c "$1"; echo $?', sys.executable, {INNER!r}], check=True)
"""


def test_a_command_that_another_one_starts_through_a_shell_is_its_own() -> None:
    """As an oracle's command may be one of hrvlm: it shares no work, and its parent is the shell."""
    ended = subprocess.run([sys.executable, "-c", OUTER], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["done", "0"]


@pytest.mark.parametrize("before", [True, False], ids=["a handler from before", "a signal that is left to others"])
def test_signals_that_others_handle_do_not_end_it(before: bool) -> None:
    """As Lightning's does under SLURM, where it waits for the signal to store a checkpoint and queue the job again."""
    program = HANDLED.format(before=before)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.split("\n")[:2]) == (0, ["handled", "went on"]), ended.stderr


NOT_OF_PYTHON = """
import ctypes, os, signal
from hrvlm.training.stopping import stoppable
library = ctypes.CDLL(None)
library.signal(signal.SIGHUP, library.abs)  # any harmless function of C will do
known = signal.getsignal
signal.getsignal = lambda number: None if number == signal.SIGHUP else known(number)
with stoppable("it"):
    os.kill(os.getpid(), signal.SIGHUP)
os.kill(os.getpid(), signal.SIGHUP)
print("went on")
"""


def test_a_handler_that_is_not_pythons_stays() -> None:
    """As of a program that Python is embedded in, or of a library loaded before it: `getsignal` answers None."""
    ended = subprocess.run([sys.executable, "-c", NOT_OF_PYTHON], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "went on\n"), ended.stderr


def test_processes_forked_within_do_not_hold_it_up() -> None:
    """Workers of data loaders live longer than the loop that stopped because of them."""
    with stoppable("it"):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,), daemon=True)
        worker.start()
        begun = time.monotonic()
    took = time.monotonic() - begun
    worker.kill()  # else whoever waits for the ends of its pipes waits for it
    worker.join()
    assert took < 10
    worker.terminate()
    worker.join()
