"""How long commands take to begin: processor and wall seconds, start-up of Python included.

    python benchmarks/start_up.py [--runs 5] [--only plan verify]

Commands that need no model run to their end, on 672 rows of smoothing certificates where they read rows. Those that
need one run on a terminal of their own: noted are the seconds until they print anything, until their model is asked for
anything (in training that is the prompts of all levels), and until they show how far they have come (certifying,
attacking, the first step of training, …), which end them. Python's compiled modules are kept, as an
installation keeps them, and a first run of each command, which makes them, does not count. Medians over the runs;
seconds of the processor count only if nothing else runs. Writes benchmarks/results/start_up.json, and the table of
docs/commands.md; with --only, those commands alone are measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import requote
from machines import machine
from PIL import Image
from rows_at_scale import write_rows

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "start_up.json"
ROWS = 672
LONGEST = 600.0  # seconds that a command may take until it works
CERTIFY, HRVLM, TRAIN = ("certify.py",), ("-m", "hrvlm"), ("train.py",)

WITHOUT_MODEL: dict[str, tuple[str, ...]] = {
    "hrvlm --version": (*HRVLM, "--version"),
    "hrvlm --help": (*HRVLM, "--help"),
    "train.py fit --help": (*TRAIN, "fit", "--help"),
    "certify.py run --help": (*CERTIFY, "run", "--help"),
    "certify.py plan": (*CERTIFY, "plan", "--sigma", "0.25", "--loss", "0.1"),
    "certify.py verify": (*CERTIFY, "verify", "ROWS"),
    "certify.py compare": (*CERTIFY, "compare", "ROWS", "OTHER"),
    "certify.py report": (*CERTIFY, "report", "ROWS"),
    "hrvlm tree show": (*HRVLM, "tree", "show", "emoji_unicode"),
    "hrvlm tree check": (*HRVLM, "tree", "check", "emoji_unicode"),
    "hrvlm tree diff": (*HRVLM, "tree", "diff", "cifar10", "cifar10"),
    "hrvlm init": (*HRVLM, "init", "--data", "PICTURES", "--output", "NEW/certify.yaml"),
}
"""Command lines after the interpreter; ROWS, OTHER and PICTURES are folders, NEW is one that is empty."""

_EMOJI = ("--checkpoint", "emoji")
_CALIBRATE = (*_EMOJI, "--config", "certify/calibrate_emoji", "--output", "NEW/calibration.json")
WITH_MODEL: dict[str, tuple[str, ...]] = {
    "train.py fit": (*TRAIN, "fit", "--config", "quickstart", "--trainer.default_root_dir", "NEW"),
    "certify.py run": (*CERTIFY, "run", *_EMOJI, "--config", "certify/emoji", "--output", "NEW"),
    "certify.py attack": (*CERTIFY, "attack", *_EMOJI, "--config", "certify/attack_emoji", "--output", "NEW"),
    "certify.py zero-shot": (*CERTIFY, "zero-shot", *_EMOJI, "--data", "emoji:unseen_classes", "--output", "NEW"),
    "certify.py calibrate": (*CERTIFY, "calibrate", *_CALIBRATE),
    "hrvlm explore": (*HRVLM, "explore", *_EMOJI),
    "hrvlm export": (*HRVLM, "export", *_EMOJI, "--output", "NEW/exported"),
}
"""The same."""
BEGINS = re.compile(rb"Preparing \d+ prompts")
"""What training says before that; others show how far they have come as soon as they begin."""
WORKS = re.compile(rb"\d/\d|http://127|load it with")  # a bar of progress, the explorer's address, the end of an export


def filled(words: Sequence[str], folder: Path) -> list[str]:
    """A command line with its folders."""
    places = {"NEW": tempfile.mkdtemp(dir=folder)} | {
        name: str(folder / name) for name in ("ROWS", "OTHER", "PICTURES")
    }
    parts = [word.split("/", 1) if word.split("/")[0] in places else [word] for word in words]
    return [sys.executable, *("/".join([places.get(part[0], part[0]), *part[1:]]) for part in parts)]


def make_folders(folder: Path) -> None:
    """What the command lines name: two runs, and class folders with a few pictures."""
    for name in ("ROWS", "OTHER"):
        (folder / name).mkdir()
        write_rows(folder / name, ROWS)
    for number in range(8):
        place = folder / "PICTURES" / f"class {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (30 * number, 90, 120)).save(place / f"{number}.png")


def environment(folder: Path) -> dict[str, str]:
    """That of this process, but for compiled modules, which are kept in a folder."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return plain | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def to_the_end(words: Sequence[str], variables: Mapping[str, str]) -> dict[str, float]:
    """Seconds of a command that ends by itself.

    Raises:
        RuntimeError: If it fails.
    """
    began = time.perf_counter()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(words, cwd=ROOT, env=variables, **quiet)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"expected {words[1:]} to succeed, got exit code {process.returncode}")
    return {"processor": used.ru_utime + used.ru_stime, "wall": time.perf_counter() - began}


def until_it_works(words: Sequence[str], variables: Mapping[str, str]) -> dict[str, float]:
    """Seconds of a command until its first line on a terminal, until it begins, and until it works; it is ended then.

    Raises:
        RuntimeError: If it ends, or too much time passes, before.
    """
    terminal, inside = pty.openpty()
    began = time.perf_counter()
    ends: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), inside)
    process = subprocess.Popen(words, cwd=ROOT, env=variables, start_new_session=True, **ends)
    os.close(inside)
    found: dict[str, float] = {}
    said = b""
    try:
        while not WORKS.search(said):
            if not select.select([terminal], [], [], LONGEST)[0]:
                raise RuntimeError(f"expected {words[1:]} to say something, got nothing for {LONGEST:g} s")
            said += _read(terminal)
            now = {"processor": processor_seconds(process.pid), "wall": time.perf_counter() - began}
            if process.poll() is not None and not WORKS.search(said):
                raise RuntimeError(f"expected {words[1:]} to work, it ended: {said.decode(errors='replace')[-2000:]}")
            for kind, seconds in now.items():
                found.setdefault(f"{kind}_until_first_line", seconds)
                if BEGINS.search(said) or WORKS.search(said):
                    found.setdefault(f"{kind}_until_begun", seconds)
                found[f"{kind}_until_work"] = seconds
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(terminal)
    return found


def _read(terminal: int) -> bytes:
    """What a terminal shows next; nothing where the program on it has ended."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        time.sleep(0.05)
        return b""


def processor_seconds(number: int) -> float:
    """Seconds that a process, which may be waiting to be asked for its end, has had of processors so far."""
    fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measures in turns, and writes medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="parts of the names of commands")
    options = parser.parse_args()
    tables = {"without_model": (WITHOUT_MODEL, to_the_end), "with_model": (WITH_MODEL, until_it_works)}
    known: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        make_folders(Path(name))
        variables = environment(Path(name))
        for run in range(-1, options.runs):
            for kind, (commands, measure) in tables.items():
                for command, words in commands.items():
                    if options.only is None or any(part in command for part in options.only):
                        seconds = measure(filled(words, Path(name)), variables)
                        print(command, seconds if run >= 0 else "", flush=True)
                        if run >= 0:
                            found.setdefault((kind, command), []).append(seconds)
    for (kind, command), runs in found.items():
        medians = {part: round(median(run[part] for run in runs), 2) for part in runs[0]}
        known.setdefault(kind, {})[command] = medians | {"runs": len(runs)}
    RESULT.write_text(json.dumps(known | {"rows": ROWS, "machine": machine()}, indent=2) + "\n", encoding="utf-8")
    requote.main()


if __name__ == "__main__":
    main()
