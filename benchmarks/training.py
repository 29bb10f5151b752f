"""Compares fine-tuning methods on the emoji: accuracy clean and attacked, and certificates, over seeds.

    python benchmarks/training.py [--only PART ...] [--methods NAME ...] [--seeds N] [--minutes M] [--tiny]

Every method fine-tunes the packaged model with the same data, batches and attacker, without noise and under noise of
sigma .25. Parts, in this order, but that runs, certificates at that sigma and apgd are done seed by seed:

tuning        one run per method and learning rate with a seed of its own; one grid for all, which grows until no choice
              lies on its edge; by clean and PGD-20 accuracy on validation pictures, under noise by certified radius
runs          fine-tuning, seed by seed; all pictures of both test splits clean and under PGD-20 at 4/255
certificates  certified accuracy and profiles, the same pictures and noise for all
apgd          PGD-20, APGD-CE and APGD-T at 3 targets, 50 steps, worst case on all pictures by the unseen artist, for
              first seeds without noise of unseen classes too; of methods "+ noise" first seeds only
autoattack    APGD-T at 9 targets, FAB-T and Square besides, on 100 pictures by the unseen artist; first seeds, without
              noise
ablations     variants of the hierarchical method, one seed, as in "runs"
tables        training.json, certified_training.json and their tables, from the lines on file

What benchmarks/results/training_lines.jsonl holds is not repeated, so the benchmark may be stopped and started at will,
and several processes may work at it side by side. Weights are in runs/benchmark-training, and made again if they lack.
Tables are written when everything is done, or by --only tables.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import training_table
from training_methods import EVERYTHING, FULL, TINY
from training_results import RUNS, Results, lock
from training_tasks import Benchmark, Task

RESULTS = Path(__file__).parent / "results"
LINES = "training_lines.jsonl"
ADVICE = ("num_workers", "Checkpoint directory", "dataloader", "in eval mode", "many workers", "training batches")
WAIT = 5.0  # seconds
PARTS = ("tuning", "runs", "certificates", "apgd", "autoattack", "ablations", "tables")


def work_through(benchmark: Benchmark, parts: Sequence[str], in_time: Callable[[], bool]) -> bool:
    """Takes the first task that is open, ready and not another process's, until none is left or time is out.

    Returns:
        Whether all is done.
    """
    while in_time():
        todo = [task for task in benchmark.tasks() if task.part in parts and not task.done()]
        if not todo:
            return True
        if not _take(todo, benchmark.results):
            print(f"{len(todo)} pieces of work wait for others, the first is {todo[0].name}", flush=True)
            return False
    return False


def _take(todo: Sequence[Task], results: Results) -> bool:
    """Does one task, or waits a little where others are at work; false where none can be done."""
    busy = False
    for task in todo:
        with lock(results.runs, task.name, wait=False) as free:
            busy = busy or not free or task.done()  # done: by another process, since the tasks were listed
            if free and task.ready() and not task.done():
                start = time.perf_counter()
                results.add([*task.work()])
                print(f"{task.part}: {task.name}, {time.perf_counter() - start:.0f} s", flush=True)
                return True
    if busy:
        time.sleep(WAIT)
    return busy


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Arguments, with those that benchmarks of training share; silences advice on runs of their kind."""
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing further after this time")
    parser.add_argument("--tiny", action="store_true", help="a few pictures and steps, to see that all works")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of results")
    given = parser.parse_args(arguments)
    if given.tiny and given.results == RESULTS:
        parser.error("expected --results with --tiny, whose numbers mean nothing: name another folder")
    warnings.filterwarnings("ignore", message=f".*({'|'.join(ADVICE)}).*")
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is missing, until done or out of time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--methods", nargs="+", choices=list(EVERYTHING), default=list(EVERYTHING), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=1000, help="at most this many seeds of each method")
    parser.add_argument("--no-tune", action="store_true", help="take the middle learning rate for all")
    given = parsed(parser, arguments)
    sizes = TINY if given.tiny else FULL
    try:
        runs = RUNS if given.results == RESULTS else given.results / "runs"
        results = Results(given.results / LINES, sizes.setting(), runs)
    except ValueError as error:
        parser.error(str(error))
    benchmark = Benchmark(given.methods, given.seeds, sizes, not given.no_tune, results)
    started = time.monotonic()
    finished = work_through(benchmark, given.only, lambda: time.monotonic() - started < 60 * given.minutes)
    if "tables" in given.only and (finished or given.only == ["tables"]):
        training_table.write(results.lines(), given.results)


if __name__ == "__main__":
    main()
