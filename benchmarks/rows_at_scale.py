"""What many rows cost: time and memory to merge and verify them, and to make their page, averages included.

    python benchmarks/rows_at_scale.py [--rows 100000 1000000 5000000]

Rows are smoothing certificates of six levels of two trees, as `certify.py run` writes them, n = 1,000 samples each, of
counts from a law like that of pictures, and held against the settings of their run; four processes have left them, an
image each in turns, and they are merged as a run does at its end. Each command runs in a process of its own, start-up
included; processor time and peak memory are those of that process. A size that is on file already is left out, so that
what was cut off goes on. Writes benchmarks/results/rows_at_scale.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from machines import machine

from hrvlm.certificates.kinds.smoothing.record import SmoothingRecord
from hrvlm.certificates.statistics.claim import NOT_MAJORITY, Claim, derive
from hrvlm.evaluation.folder_names import ROWS_OF, SETTINGS
from hrvlm.reports.folder_page import REPORT
from hrvlm.rows.record import is_right
from hrvlm.rows.shards import shard_path

RESULT = Path(__file__).parent / "results" / "rows_at_scale.json"
TREES = (("species", 1000, (250, 60, 12)), ("use", 1000, (40, 9)))
LEVELS = [("species", 0, 1000)] + [(tree, k, size) for tree, _, sizes in TREES for k, size in enumerate(sizes, start=1)]
SIGMA, ALPHA, N0, N = 0.25, 0.001, 100, 1000
SHARE = ALPHA / len(LEVELS)
ROWS = ROWS_OF["run"]
PROCESSES = 4
COMMANDS = {
    "merge": (
        "from hrvlm.certificates.kinds.registry import record_at, record_key; "
        "from hrvlm.rows.shards import merge_shards; "
        f"merge_shards(sys.argv[2] + '/{ROWS}', record_key, record_at)"
    ),
    **dict.fromkeys(("verify", "report"), "from hrvlm.cli.certify import main; main(sys.argv[1:])"),
}
"""In the order in which they are run."""


def settings(images: int) -> dict[str, Any]:
    """What a run of these rows notes."""
    return {
        "sigma": SIGMA, "alpha": ALPHA, "seed": 0, "n0": N0, "n": N, "sampling": {"procedure": "split"},
        "trees": [[name, 1 + len(sizes)] for name, _, sizes in TREES], "deltas": [], "data_size": images,
        "random_numbers": "by address",
    }  # fmt: skip


def counts_of(images: int, seed: int = 0) -> np.ndarray:
    """Counts `(images, levels)` of the predicted class, many unanimous and some below half, growing with the level."""
    generator = np.random.default_rng(seed)
    share = generator.beta(3.0, 0.4, size=(images, 1)) ** np.linspace(1.0, 0.4, len(LEVELS))
    return generator.binomial(N, share)


def lines(images: int) -> Iterator[bytes]:
    """Lines of rows that verify, image by image."""
    counts, generator = counts_of(images), np.random.default_rng(1)
    selected = generator.binomial(N0 - 1, counts / N) + 1
    leaves = generator.integers(0, 1000, size=(images, 2))
    leaves[:, 1] = np.where(generator.random(images) < 0.7, leaves[:, 0], leaves[:, 1])
    for index in range(images):
        for at, (tree, level, size) in enumerate(LEVELS):
            label, prediction = (int(leaf) % size for leaf in leaves[index])
            row = record(index, tree, level, label, prediction, int(counts[index, at]), int(selected[index, at]))
            yield json.dumps(row.to_row(), ensure_ascii=False).encode() + b"\n"


@cache
def claim_of(count: int) -> Claim:
    """What a count gives."""
    method, split = SmoothingRecord.method, SmoothingRecord.split
    return derive(method, split, count=count, runner_up=None, n=N, alpha=SHARE, sigma=SIGMA)


def record(
    index: int, tree: str, level: int, label: int, prediction: int, count: int, selected: int
) -> SmoothingRecord:
    """A certificate of a count."""
    claim = claim_of(count)
    return SmoothingRecord(
        index=index, label=label, tree=tree, level=level, level_name=f"level {level}" if level else "class",
        prediction=prediction, correct=is_right(prediction, label), reason=None if claim.radius > 0 else NOT_MAJORITY,
        sigma=SIGMA, noise_space="pixels in [0, 1] before resizing", alpha=ALPHA, alpha_share=SHARE,
        num_statements=len(LEVELS), n0=N0, n=N, seed=0, selection_count=selected, count=count, lower=claim.lower,
        radius=claim.radius, abstain=claim.radius <= 0,
    )  # fmt: skip


def write_rows(folder: Path, rows: int) -> None:
    """A folder as a finished run leaves it."""
    images = rows // len(LEVELS)
    (folder / SETTINGS).write_text(json.dumps(settings(images)), encoding="utf-8")
    with (folder / ROWS).open("wb") as file:
        file.writelines(lines(images))


def part_rows(folder: Path) -> None:
    """Puts the rows where several processes leave them."""
    merged = folder / ROWS
    with ExitStack() as stack, merged.open("rb") as file:
        shard_path(merged, 0).parent.mkdir()
        parts = [stack.enter_context(shard_path(merged, rank).open("wb")) for rank in range(PROCESSES)]
        for number, line in enumerate(file):
            parts[number // len(LEVELS) % PROCESSES].write(line)
    merged.unlink()


MEASURED = """
import json, os, sys, time
began = time.perf_counter()
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
processor = used.ru_utime + used.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - began, processor, used.ru_maxrss]))
"""
"""A process that starts another one, and is small: what it begins as counts as the other's memory."""


def measured(arguments: Sequence[str]) -> dict[str, float]:
    """Wall time, processor time and peak memory of one process.

    Raises:
        RuntimeError: if it fails.
    """
    done = subprocess.run([sys.executable, "-S", "-c", MEASURED, *arguments], stdout=subprocess.PIPE, check=True)
    code, wall, processor, kibibytes = json.loads(done.stdout.splitlines()[-1])
    if code:
        raise RuntimeError(f"expected {shlex.join(arguments)} to succeed, got exit code {code}")
    return {
        "wall_seconds": round(wall, 1),
        "processor_seconds": round(processor, 1),
        "peak_mebibytes": round(kibibytes / 1024),
    }


def of_command(command: str, folder: Path) -> list[str]:
    """The process of a command."""
    return [sys.executable, "-c", f"import sys; {COMMANDS[command]}", command, str(folder)]


def main() -> None:
    """Measures what is not on file yet, and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    options = parser.parse_args()
    known = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"by_rows": {}}
    for rows in options.rows:
        if str(rows) in known["by_rows"]:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_rows(folder, rows)
            megabytes = round((folder / ROWS).stat().st_size / 1e6)
            part_rows(folder)
            told = {command: measured(of_command(command, folder)) for command in COMMANDS}
            page = round((folder / REPORT).stat().st_size / 1e6, 1)
        known["by_rows"][str(rows)] = {"rows_megabytes": megabytes, "page_megabytes": page, **told}
        known["machine"] = machine() | {"numpy": np.__version__}
        print(rows, known["by_rows"][str(rows)], flush=True)
        RESULT.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
